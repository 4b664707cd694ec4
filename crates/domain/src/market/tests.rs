//! The promises of the market table, against Meta's list written out a second time.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{COUNTRIES, Country, Market, SHARED};
use crate::rates::{Cards, RateCard};

/// Market and its calling prefixes since 2026-10-01, as Meta lists them; whatever is not here is
/// Other. The codes of +1 that are neither American nor Canadian are named under Other.
const LISTED: &[(&str, &str)] = &[
    ("argentina", "54"),
    ("bangladesh", "880"),
    ("brazil", "55"),
    ("chile", "56"),
    ("colombia", "57"),
    ("egypt", "20"),
    ("france", "33"),
    ("germany", "49"),
    ("hong_kong", "852"),
    ("hungary", "36"),
    ("india", "91"),
    ("indonesia", "62"),
    ("iraq", "964"),
    ("israel", "972"),
    ("italy", "39"),
    ("kazakhstan", "76 77"),
    ("kuwait", "965"),
    ("malaysia", "60"),
    ("mexico", "52"),
    ("morocco", "212"),
    ("nepal", "977"),
    ("netherlands", "31"),
    ("nigeria", "234"),
    ("oman", "968"),
    ("pakistan", "92"),
    ("peru", "51"),
    ("poland", "48"),
    ("qatar", "974"),
    ("romania", "40"),
    ("russia", "7"),
    ("saudi_arabia", "966"),
    ("singapore", "65"),
    ("south_africa", "27"),
    ("spain", "34"),
    ("sri_lanka", "94"),
    ("turkey", "90"),
    ("ukraine", "380"),
    ("united_arab_emirates", "971"),
    ("united_kingdom", "44"),
    ("north_america", "1"),
    (
        "rest_of_africa",
        "213 244 229 267 226 257 237 235 242 291 251 241 220 233 245 225 254 266 231 218 261 265 223 222 258 264 227 250 221 232 252 \
         211 249 268 255 228 216 256 260 263",
    ),
    ("rest_of_asia_pacific", "93 61 855 86 81 856 976 64 675 63 886 992 66 993 998 84"),
    ("rest_of_central_and_eastern_europe", "355 374 994 375 359 385 420 995 30 371 370 373 389 381 421 386"),
    ("rest_of_western_europe", "43 32 45 358 353 47 351 46 41"),
    ("rest_of_latin_america", "591 506 1809 1829 1849 593 503 502 509 504 1658 1876 505 507 595 1787 1939 598 58"),
    ("rest_of_middle_east", "973 962 961 967"),
    (
        "other",
        "1242 1246 1264 1268 1284 1340 1345 1441 1473 1649 1664 1670 1671 1684 1721 1758 1767 1784 1868 1869 10 11 82 372 354 352 356 357 \
         243 95",
    ),
];

/// Where the markets that are new since 2026-10-01 were before.
const BEFORE_OCTOBER: &[(&str, &str)] = &[
    ("bangladesh", "rest_of_asia_pacific"),
    ("nepal", "rest_of_asia_pacific"),
    ("sri_lanka", "rest_of_asia_pacific"),
    ("iraq", "rest_of_middle_east"),
    ("kuwait", "rest_of_middle_east"),
    ("oman", "rest_of_middle_east"),
    ("morocco", "rest_of_africa"),
    ("ukraine", "rest_of_central_and_eastern_europe"),
    ("kazakhstan", "other"),
];

fn listed() -> impl Iterator<Item = (&'static str, &'static str)> {
    LISTED.iter().flat_map(|(market, prefixes)| prefixes.split_whitespace().map(move |prefix| (*market, prefix)))
}

/// The slow and plain way: try every listed prefix.
fn market_by_list(digits: &str) -> &'static str {
    listed().filter(|(_, prefix)| digits.starts_with(prefix)).max_by_key(|(_, prefix)| prefix.len()).map_or("other", |(market, _)| market)
}

fn july(market: &'static str) -> &'static str {
    BEFORE_OCTOBER.iter().find(|(new, _)| *new == market).map_or(market, |(_, before)| before)
}

/// The cards of July and October 2026.
fn cards() -> [RateCard; 2] {
    let cards: Vec<RateCard> = Cards::shipped().iter().map(|card| RateCard::clone(card)).collect();
    cards.try_into().expect("two cards ship")
}

#[test]
fn every_listed_prefix_is_in_its_market_on_both_cards() {
    let [of_july, of_october] = cards();
    for (market, prefix) in listed() {
        let country = Country::of_digits(&format!("{prefix}2025550123"));
        assert_eq!(of_october.market_of(country).code(), market, "{prefix} since October");
        assert_eq!(of_july.market_of(country).code(), july(market), "{prefix} until September");
    }
}

#[test]
fn a_new_market_was_in_its_region_until_its_card() {
    let [of_july, of_october] = cards();
    let casablanca = Country::of_digits("212612345678");
    assert_eq!(of_july.market_of(casablanca).name(), "Rest of Africa");
    assert_eq!(of_october.market_of(casablanca).name(), "Morocco");
}

#[test]
fn seven_is_russia_and_six_and_seven_behind_it_kazakhstan() {
    assert_eq!(Country::of_digits("79161234567").iso(), Some("RU"));
    assert_eq!(Country::of_digits("77011234567").iso(), Some("KZ"));
    assert_eq!(Country::of_digits("76001234567").iso(), Some("KZ"));
}

#[test]
fn one_is_shared_by_many_countries() {
    for (digits, iso) in [
        ("14155552671", "US"),
        ("15551234567", "US"),
        ("18005551234", "US"),
        ("14165550100", "CA"),
        ("18095551234", "DO"),
        ("18765551234", "JM"),
        ("17875551234", "PR"),
        ("18685551234", "TT"),
        ("16715551234", "GU"),
    ] {
        assert_eq!(Country::of_digits(digits).iso(), Some(iso), "{digits}");
    }
    assert_eq!(Country::of_digits("10005551234"), Country::UNLISTED);
}

#[test]
fn a_user_id_is_of_the_country_that_it_begins_with() {
    let [_, of_october] = cards();
    for (user_id, market) in [
        ("TR.13491208655302741918", "turkey"),
        ("US.ENT.11815799212886844830", "north_america"),
        ("CA.1349", "north_america"),
        ("KE.1349", "rest_of_africa"),
        ("KR.1349", "other"),
        ("ZZ.1349", "other"),
        ("tr.1349", "other"),
        ("TR1349", "other"),
        (".1349", "other"),
        ("", "other"),
    ] {
        assert_eq!(of_october.market_of(Country::of_recipient(user_id)).code(), market, "{user_id}");
    }
}

#[test]
fn a_territory_costs_the_same_by_id_and_by_number() {
    for (territory, country) in SHARED {
        assert_eq!(Country::of_iso(territory).iso(), Some(*country));
    }
}

#[test]
fn what_is_no_number_is_of_no_country() {
    for text in ["", "+", "abc", "9a5321234567", "é90", " 90", "0905321234567"] {
        assert_eq!(Country::of_digits(text), Country::UNLISTED, "{text:?}");
    }
    assert_eq!(Country::of_recipient("+905321234567").iso(), Some("TR"));
}

#[test]
fn the_table_is_sorted_and_names_everything_once() {
    assert!(COUNTRIES.is_sorted_by(|one, two| one.iso < two.iso));
    let codes: HashSet<&str> = Market::ALL.iter().map(|market| market.code()).collect();
    let numbers: HashSet<u16> = Market::ALL.iter().map(|market| market.number()).collect();
    let prefixes: HashSet<u16> = COUNTRIES.iter().flat_map(|row| row.prefixes).copied().collect();
    assert_eq!(codes.len(), Market::ALL.len());
    assert_eq!(numbers.len(), Market::ALL.len());
    assert_eq!(prefixes.len(), COUNTRIES.iter().map(|row| row.prefixes.len()).sum::<usize>());
    assert!(COUNTRIES.iter().all(|row| row.iso.len() == 2 && row.iso.bytes().all(|byte| byte.is_ascii_uppercase())));
}

#[test]
fn a_market_is_found_by_code_name_and_number() {
    for market in Market::ALL {
        assert_eq!(Market::parse(market.code()), Some(*market));
        assert_eq!(Market::parse(market.name()), Some(*market), "{}", market.name());
        assert_eq!(Market::parse(&market.name().to_uppercase()), Some(*market));
        assert_eq!(Market::from_number(i64::from(market.number())), Some(*market));
    }
    assert_eq!(Market::parse("Rest of Central & Eastern Europe").map(Market::code), Some("rest_of_central_and_eastern_europe"));
    for text in ["", "atlantis", "turkeys", "rest of the world"] {
        assert_eq!(Market::parse(text), None, "{text}");
    }
    assert_eq!(Market::from_number(0), None);
    assert_eq!(Market::from_number(-1), None);
}

#[test]
fn stored_numbers_of_markets_never_change() {
    for (code, number) in
        [("other", 1), ("north_america", 2), ("rest_of_africa", 3), ("rest_of_middle_east", 8), ("turkey", 1_511), ("brazil", 1_043)]
    {
        assert_eq!(Market::parse(code).map(Market::number), Some(number), "{code}");
    }
}

#[test]
fn a_list_of_markets_may_name_the_region_or_the_country() {
    let [_, of_october] = cards();
    let nairobi = Country::of_digits("254712345678");
    let priced_as = of_october.market_of(nairobi);
    let list = |codes: &[&str]| codes.iter().map(|code| Market::parse(code).expect("a market")).collect::<Vec<_>>();
    assert!(Market::list_allows(&list(&["rest_of_africa"]), nairobi, priced_as));
    assert!(Market::list_allows(&list(&["turkey", "kenya"]), nairobi, priced_as));
    assert!(!Market::list_allows(&list(&["turkey"]), nairobi, priced_as));
    assert!(!Market::list_allows(&[], nairobi, priced_as));
}

proptest! {
    #[test]
    fn any_number_is_in_the_market_that_trying_every_prefix_finds(digits in "[1-9][0-9]{6,14}") {
        let [of_july, of_october] = cards();
        let country = Country::of_digits(&digits);
        prop_assert_eq!(of_october.market_of(country).code(), market_by_list(&digits));
        prop_assert_eq!(of_july.market_of(country).code(), july(market_by_list(&digits)));
    }

    #[test]
    fn digits_behind_a_listed_prefix_change_nothing(place in 0usize..200, tail in "[0-9]{8}") {
        let all: Vec<_> = listed().collect();
        let (_, prefix) = all[place % all.len()];
        let digits = format!("{prefix}{tail}");
        prop_assert_eq!(cards()[1].market_of(Country::of_digits(&digits)).code(), market_by_list(&digits));
    }

    #[test]
    fn arbitrary_text_never_panics(text: String) {
        let _ = (Country::of_digits(&text), Country::of_recipient(&text), Country::of_user_id(&text), Market::parse(&text));
    }
}
