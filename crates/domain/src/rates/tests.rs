//! The promises of cards, schedules and prices.

use proptest::prelude::*;

use super::*;
use crate::market::{Country, Market};
use crate::money::{Currency, Micros};
use crate::send::{Category, MessageKind, MetaBilling};
use crate::time::UnixMs;

/// Market, marketing, utility = authentication = service, authentication-international, in
/// ten-thousandths of a dollar: Meta's card of 2026-10-01 written out a second time.
const OCTOBER: &[(&str, i64, i64, Option<i64>)] = &[
    ("argentina", 618, 260, None),
    ("bangladesh", 732, 37, Some(960)),
    ("brazil", 625, 68, None),
    ("chile", 889, 200, None),
    ("colombia", 125, 8, None),
    ("egypt", 644, 36, Some(650)),
    ("france", 859, 300, None),
    ("germany", 1365, 550, None),
    ("hong_kong", 732, 260, None),
    ("hungary", 860, 350, None),
    ("india", 118, 14, Some(304)),
    ("indonesia", 411, 250, Some(1360)),
    ("iraq", 341, 79, Some(1280)),
    ("israel", 353, 53, None),
    ("italy", 795, 300, None),
    ("kazakhstan", 604, 180, Some(1600)),
    ("kuwait", 792, 440, Some(1200)),
    ("malaysia", 860, 140, Some(418)),
    ("mexico", 397, 85, None),
    ("morocco", 414, 230, Some(811)),
    ("nepal", 732, 34, Some(1120)),
    ("netherlands", 1597, 500, None),
    ("nigeria", 516, 67, Some(750)),
    ("oman", 341, 247, Some(600)),
    ("pakistan", 473, 150, Some(750)),
    ("peru", 703, 300, None),
    ("poland", 366, 122, None),
    ("qatar", 341, 120, None),
    ("romania", 860, 290, None),
    ("russia", 802, 400, None),
    ("saudi_arabia", 576, 107, Some(598)),
    ("singapore", 732, 160, None),
    ("south_africa", 379, 95, Some(200)),
    ("spain", 707, 200, None),
    ("sri_lanka", 732, 20, Some(1440)),
    ("turkey", 109, 9, None),
    ("ukraine", 860, 298, Some(746)),
    ("united_arab_emirates", 576, 157, Some(510)),
    ("united_kingdom", 635, 220, None),
    ("north_america", 250, 34, None),
    ("rest_of_africa", 225, 40, None),
    ("rest_of_asia_pacific", 842, 113, None),
    ("rest_of_central_and_eastern_europe", 860, 212, None),
    ("rest_of_latin_america", 740, 113, None),
    ("rest_of_middle_east", 392, 91, None),
    ("rest_of_western_europe", 592, 171, None),
    ("other", 604, 77, None),
];

/// What the card of 2026-07-01 had otherwise: market, category, ten-thousandths.
const JULY: &[(&str, Category, i64)] = &[
    ("mexico", Category::Marketing, 305),
    ("pakistan", Category::Utility, 100),
    ("pakistan", Category::Authentication, 100),
    ("peru", Category::Utility, 200),
    ("peru", Category::Authentication, 200),
    ("saudi_arabia", Category::Marketing, 501),
    ("south_africa", Category::Utility, 76),
    ("south_africa", Category::Authentication, 76),
    ("united_arab_emirates", Category::Marketing, 499),
    ("rest_of_asia_pacific", Category::Marketing, 732),
    ("rest_of_middle_east", Category::Marketing, 341),
];

const NEW_IN_OCTOBER: &[&str] = &["bangladesh", "iraq", "kazakhstan", "kuwait", "morocco", "nepal", "oman", "sri_lanka", "ukraine"];

fn market(code: &str) -> Market {
    Market::parse(code).unwrap_or_else(|| panic!("{code} is a market"))
}

fn card(id: &str) -> RateCard {
    RateCard::clone(Cards::shipped().get(id.parse().expect("a card's id")).expect("a shipped card"))
}

fn july() -> RateCard {
    card("usd-2026-07-01")
}

fn october() -> RateCard {
    card("usd-2026-10-01")
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap_or_else(|_| panic!("{name} is a zone"))
}

fn at(text: &str) -> UnixMs {
    UnixMs(text.parse::<jiff::Timestamp>().expect("an instant").as_millisecond())
}

const TERMS: Terms =
    Terms { markup: Markup { factor_ppm: 1_000_000, fixed: Micros::ZERO, base_fee: Micros(1_000) }, billing: MetaBilling::Operator };

fn marked_up(factor_ppm: i64, fixed: i64) -> Terms {
    Terms { markup: Markup { factor_ppm, fixed: Micros(fixed), ..TERMS.markup }, ..TERMS }
}

/// A small card that is whole: the regions and Turkey, with one price for everything.
fn small_csv(extra: &str) -> String {
    let mut text = "# currency: EUR\n# effective: 2027-01-01\nmarket,category,amount\n".to_owned();
    for region in Market::regions() {
        for category in ["marketing", "utility", "authentication"] {
            text.push_str(&format!("{region},{category},0.05\n"));
        }
    }
    text + extra
}

fn faults(text: &str) -> Vec<String> {
    let faults = RateCard::parse_csv("import.csv", text).expect_err("a faulty card");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_october_card_has_metas_prices_and_no_others() {
    let card = october();
    assert_eq!(card.markets().count(), OCTOBER.len());
    for (code, marketing, rest, international) in OCTOBER {
        let price = |category| card.list_price(market(code), category);
        assert_eq!(price(Category::Marketing), Some(Micros(marketing * 100)), "{code}");
        for category in [Category::Utility, Category::Authentication, Category::Service] {
            assert_eq!(price(category), Some(Micros(rest * 100)), "{code} {category}");
        }
        assert_eq!(price(Category::AuthenticationInternational), international.map(|amount| Micros(amount * 100)), "{code}");
    }
    assert!(card.source().contains("Meta"));
}

#[test]
fn the_july_card_differs_as_meta_said_and_service_is_free() {
    let (july, october) = (july(), october());
    for market in october.markets() {
        let is_new = NEW_IN_OCTOBER.contains(&market.code());
        for category in Category::ALL {
            let other =
                JULY.iter().find(|(code, of, _)| *code == market.code() && of == category).map(|(_, _, amount)| Micros(amount * 100));
            let expected = match category {
                _ if is_new => None,
                Category::Service => Some(Micros::ZERO),
                category => other.or(october.list_price(market, *category)),
            };
            assert_eq!(july.list_price(market, *category), expected, "{market} {category}");
        }
    }
    assert_eq!(july.markets().count() + NEW_IN_OCTOBER.len(), october.markets().count());
}

#[test]
fn the_difference_of_two_cards_names_moves_and_prices() {
    let changes = diff(&july(), &october());
    let morocco = Country::of_iso("MA");
    assert!(changes.contains(&RateChange::Moved { country: morocco, from: market("rest_of_africa"), to: market("morocco") }));
    assert_eq!(changes.iter().filter(|change| matches!(change, RateChange::Moved { .. })).count(), NEW_IN_OCTOBER.len());
    let mexico =
        RateChange::Price { market: market("mexico"), category: Category::Marketing, old: Some(Micros(30_500)), new: Some(Micros(39_700)) };
    assert!(changes.contains(&mexico));
    let listed: usize = changes
        .iter()
        .filter(|change| matches!(change, RateChange::Price { category, old: Some(_), .. } if *category != Category::Service))
        .count();
    assert_eq!(listed, JULY.len());
    assert!(diff(&july(), &july()).is_empty());
}

#[test]
fn a_card_written_reads_back_the_same() {
    for card in [july(), october()] {
        let read = RateCard::parse_csv("export.csv", &card.to_csv()).expect("our own form");
        assert_eq!(read, card);
        assert!(diff(&read, &card).is_empty());
    }
}

#[test]
fn metas_own_layout_with_a_column_per_category_is_read_too() {
    let mut text = "# source: a download\r\nMarket,Currency,Marketing,Utility,Authentication,Authentication-International\r\n".to_owned();
    for region in Market::regions() {
        text.push_str(&format!("\"{}\",$US,$0.0500,0.0100,0.0100,n/a\r\n", region.name()));
    }
    text.push_str("India,$US,0.0118,0.0014,0.0014,0.0304\r\n");
    let card = RateCard::parse_csv("usd-2027-01-01.csv", &text).expect("a whole card");
    assert_eq!(card.id().to_string(), "usd-2027-01-01");
    assert_eq!(card.source(), "a download");
    assert_eq!(card.list_price(market("india"), Category::AuthenticationInternational), Some(Micros(30_400)));
    assert_eq!(card.list_price(market("rest_of_africa"), Category::AuthenticationInternational), None);
    assert_eq!(card.market_of(Country::of_digits("905321234567")), Market::OTHER);
}

#[test]
fn every_faulty_line_of_an_import_is_named() {
    let text = small_csv(
        "turkey,marketing,0.0109\natlantis,utility,0.01\nturkey,promo,0.01\n\n# a note\nturkey,utility,0.0O9\nturkey,utility\nturkey,marketing,0.02\nturkey,authentication,-1\nspain,marketing,0.0000001\n",
    );
    assert_eq!(
        faults(&text),
        [
            "line 29: \"atlantis\" is not a market: a country (turkey) or a region (rest_of_africa, other)",
            "line 30: \"promo\" is not a category: marketing, utility, authentication, authentication-international or service",
            "line 33: turkey utility: \"0.0O9\" must be a decimal number such as 12.34",
            "line 34: has 2 columns where the first line names 3",
            "line 35: turkey marketing has a price already",
            "line 36: turkey authentication: -1 is below zero",
            "line 37: spain marketing: \"0.0000001\" must not have more than 6 decimals",
            "line 37: turkey has no price for utility",
            "line 37: turkey has no price for authentication",
        ]
    );
}

#[test]
fn a_card_with_holes_is_refused() {
    let without_other: String = small_csv("").lines().filter(|line| !line.starts_with("other,")).map(|line| format!("{line}\n")).collect();
    assert_eq!(faults(&without_other), ["line 24: Other (other) is missing: every region needs its prices"]);
    let some_service = faults(&small_csv("other,service,0.01\n"));
    assert_eq!(some_service.len(), 7, "{some_service:?}");
    assert!(some_service[0].contains("north_america has no price for service"), "{some_service:?}");
}

#[test]
fn a_file_that_is_no_card_says_what_is_missing() {
    assert_eq!(
        faults(""),
        [
            "line 1: the currency is missing: add a line such as '# currency: USD' before the table",
            "line 1: the date is missing: add a line such as '# effective: 2026-10-01' before the table",
            "line 1: there is no table: the first line must name the columns, market,category,amount",
        ]
    );
    assert!(faults("# currency: dollars\n# effective: soon\n").len() == 2);
    assert!(faults("id,name\n1,Ann\n2,Bob\n")[0].contains("must name the columns"));
    assert!(faults("market,category,amount,amount\n")[0].contains("stands twice"));
    let contradiction = RateCard::parse_csv("usd-2027-01-01.csv", &small_csv("")).expect_err("EUR inside, USD outside");
    assert!(contradiction[0].problem.contains("is named usd-2027-01-01.csv, but says that it is EUR"), "{contradiction:?}");
}

#[test]
fn a_cards_id_is_written_read_and_numbered() {
    for text in ["usd-2026-10-01", "eur-2027-01-01.2", "zzz-9999-12-31.255", "aaa-0001-01-01"] {
        let id: CardId = text.parse().expect("an id");
        assert_eq!(id.to_string(), text);
        assert_eq!(CardId::from_number(id.number()), Some(id), "{text}");
    }
    for text in ["", "usd", "usd-2026-13-01", "usd-2026-1-1", "usd-20261001", "us-2026-10-01", "usd-2026-10-01.0", "usd-2026-10-01.256"] {
        assert!(text.parse::<CardId>().is_err(), "{text}");
    }
    for number in [0, -1, 1, i64::MAX, i64::MIN, 256] {
        assert_eq!(CardId::from_number(number), None, "{number}");
    }
}

#[test]
fn a_card_begins_at_midnight_of_the_applications_zone() {
    let cards = Cards::shipped();
    for (name, before, from) in [
        ("UTC", "2026-09-30T23:59:59.999Z", "2026-10-01T00:00:00Z"),
        ("Europe/Istanbul", "2026-09-30T20:59:59.999Z", "2026-09-30T21:00:00Z"),
        ("America/Los_Angeles", "2026-10-01T06:59:59.999Z", "2026-10-01T07:00:00Z"),
        ("Asia/Kathmandu", "2026-09-30T18:14:59.999Z", "2026-09-30T18:15:00Z"),
        ("Pacific/Kiritimati", "2026-09-30T09:59:59.999Z", "2026-09-30T10:00:00Z"),
    ] {
        let schedule = cards.schedule(Currency::USD, &zone(name)).expect("a USD card");
        assert_eq!(schedule.at(at(before)).id().to_string(), "usd-2026-07-01", "{name}");
        assert_eq!(schedule.at(at(from)).id().to_string(), "usd-2026-10-01", "{name}");
    }
}

#[test]
fn a_day_whose_midnight_is_skipped_begins_when_it_does() {
    // In Santiago the clocks went from 24:00 to 01:00 on the night to 2026-09-06.
    let santiago = zone("America/Santiago");
    let date = jiff::civil::date(2026, 9, 6);
    assert_eq!(santiago.midnight(date), at("2026-09-06T04:00:00Z"));
    assert_eq!(santiago.date_at(santiago.midnight(date)), Some(date));
    assert_eq!(santiago.date_at(santiago.midnight(date).plus_ms(-1)), Some(jiff::civil::date(2026, 9, 5)));
}

#[test]
fn a_date_that_a_person_names_begins_in_the_applications_zone() {
    let here = zone("America/Los_Angeles");
    assert_eq!(here.instant("2026-10-01"), Some(at("2026-10-01T07:00:00Z")));
    assert_eq!(here.instant("2026-10-01T00:00:00Z"), Some(at("2026-10-01T00:00:00Z")));
    assert_eq!((here.instant("soon"), here.instant("2026-13-01"), here.instant("20261001")), (None, None, None));
}

#[test]
fn before_the_first_card_the_first_one_prices() {
    let schedule = Cards::shipped().schedule(Currency::USD, &Zone::utc()).expect("a USD card");
    assert_eq!(schedule.at(UnixMs(0)).id().to_string(), "usd-2026-07-01");
    let of_2020 = Cards::shipped().card_on(Currency::USD, jiff::civil::date(2020, 1, 1)).map(|card| card.id().to_string());
    assert_eq!(of_2020.as_deref(), Some("usd-2026-07-01"));
    let today = Cards::shipped().card_on(Currency::USD, jiff::civil::date(2026, 11, 22)).map(|card| card.id().to_string());
    assert_eq!(today.as_deref(), Some("usd-2026-10-01"));
}

#[test]
fn a_corrected_card_prices_new_messages_and_the_old_edition_stays() {
    let mut cards = Cards::shipped();
    let corrected =
        RateCard::parse_csv("usd-2026-10-01.csv", SHIPPED[1].1.replace("turkey,marketing,0.0109", "turkey,marketing,0.0110").as_str())
            .expect("a whole card");
    let id = cards.add(corrected).expect("a free edition");
    assert_eq!(id.to_string(), "usd-2026-10-01.2");
    let schedule = cards.schedule(Currency::USD, &Zone::utc()).expect("a USD card");
    assert_eq!(schedule.at(at("2026-11-22T00:00:00Z")).id(), id);
    assert_eq!(cards.card_on(Currency::USD, jiff::civil::date(2026, 11, 22)).map(|card| card.id()), Some(id));
    let first = cards.get("usd-2026-10-01".parse().expect("an id")).expect("the first edition stays");
    assert_eq!(first.list_price(market("turkey"), Category::Marketing), Some(Micros(10_900)));
}

#[test]
fn a_currency_without_a_card_has_no_schedule() {
    let euro = Currency::parse("EUR").expect("a currency");
    assert!(Cards::shipped().schedule(euro, &Zone::utc()).is_none());
}

#[test]
fn a_zone_is_an_iana_name() {
    assert_eq!(zone("europe/istanbul").name(), "Europe/Istanbul");
    assert_eq!(zone("utc"), Zone::utc());
    for name in ["", "Istanbul", "GMT+3", "Europe/Atlantis", "../etc/passwd"] {
        assert!(name.parse::<Zone>().is_err(), "{name}");
    }
}

#[test]
fn a_message_costs_the_base_fee_and_metas_fee() {
    let price = quote(&october(), &TERMS, "905321234567", Category::Utility).expect("a price");
    assert_eq!((price.base, price.meta, price.total()), (Micros(1_000), Micros(900), Micros(1_900)));
    assert_eq!((price.market.code(), price.category, price.card.to_string().as_str()), ("turkey", Category::Utility, "usd-2026-10-01"));
    assert_eq!(price.reported_meta, price.meta);
}

#[test]
fn the_kind_of_a_message_decides_what_it_is_priced_as() {
    let template = |category| PricedAs::of(MessageKind::Template, category, None);
    assert_eq!(template(Some(Category::Utility)), PricedAs::Category(Category::Utility));
    assert_eq!(template(None), PricedAs::Dearest);
    for kind in [MessageKind::Text, MessageKind::Image, MessageKind::Interactive, MessageKind::Contacts] {
        assert_eq!(PricedAs::of(kind, None, None), PricedAs::Category(Category::Service));
    }
    assert_eq!(PricedAs::of(MessageKind::Text, None, Some(Category::Utility)), PricedAs::Category(Category::Utility));
    assert_eq!(PricedAs::of(MessageKind::Reaction, None, None), PricedAs::BaseOnly);
    assert_eq!(PricedAs::of(MessageKind::ReadMark, None, None), PricedAs::Nothing);
}

#[test]
fn a_reaction_costs_the_base_fee_and_a_read_mark_nothing() {
    let turkey = Country::of_digits("905321234567");
    let terms = marked_up(2_000_000, 5_000);
    let reaction = price(&october(), &terms, turkey, PricedAs::BaseOnly).expect("a price");
    assert_eq!((reaction.base, reaction.meta, reaction.reported_meta), (Micros(1_000), Micros::ZERO, Micros::ZERO));
    let read_mark = price(&october(), &terms, turkey, PricedAs::Nothing).expect("a price");
    assert_eq!(read_mark.total(), Micros::ZERO);
}

#[test]
fn a_customer_who_pays_meta_himself_is_told_its_list_price() {
    let terms = Terms { billing: MetaBilling::Customer, ..marked_up(1_500_000, 2_000) };
    let price = quote(&october(), &terms, "905321234567", Category::Marketing).expect("a price");
    assert_eq!((price.base, price.meta, price.reported_meta), (Micros(1_000), Micros::ZERO, Micros(10_900)));
    assert_eq!(price.total(), Micros(1_000));
}

#[test]
fn an_unknown_category_is_held_by_the_dearest_of_the_market() {
    for (digits, category, amount) in [
        ("905321234567", Category::Marketing, 10_900),
        ("919876543210", Category::AuthenticationInternational, 30_400),
        ("8801712345678", Category::AuthenticationInternational, 96_000),
    ] {
        let price = price(&october(), &TERMS, Country::of_digits(digits), PricedAs::Dearest).expect("a price");
        assert_eq!((price.category, price.meta), (category, Micros(amount)), "{digits}");
    }
}

#[test]
fn authentication_international_costs_as_authentication_where_it_has_no_rate() {
    let price = quote(&october(), &TERMS, "905321234567", Category::AuthenticationInternational).expect("a price");
    assert_eq!((price.category, price.meta), (Category::AuthenticationInternational, Micros(900)));
}

#[test]
fn a_half_is_rounded_up() {
    // Turkey's utility price is 900 millionths: × 1.0005 is 900.45, × 1.000556 is 900.5004,
    // × 1.005 is 904.5.
    for (factor_ppm, fee) in [(1_000_500, 900), (1_000_556, 901), (1_005_000, 905), (0, 0), (333_333, 300)] {
        let price = quote(&october(), &marked_up(factor_ppm, 0), "905321234567", Category::Utility).expect("a price");
        assert_eq!(price.meta, Micros(fee), "{factor_ppm}");
    }
}

#[test]
fn a_price_past_the_range_is_a_fault_and_no_number() {
    let quoted = |terms: &Terms| quote(&october(), terms, "905321234567", Category::Utility);
    assert_eq!(quoted(&marked_up(i64::MAX, i64::MAX)), Err(PriceFault::OutOfRange));
    assert_eq!(quoted(&marked_up(1_000_000, i64::MAX - 900)), Err(PriceFault::OutOfRange), "the total counts too");
    assert_eq!(quoted(&marked_up(-2_000_000, 0)), Err(PriceFault::Negative));
    assert_eq!(quoted(&marked_up(1_000_000, -901)), Err(PriceFault::Negative));
}

#[test]
fn a_markup_out_of_bounds_is_named() {
    assert!(Markup::default().faults("markup.").is_empty());
    let paths = |markup: Markup| markup.faults("markup.").into_iter().map(|fault| fault.path).collect::<Vec<_>>();
    assert_eq!(
        paths(Markup { factor_ppm: -1, fixed: Micros(-1), base_fee: Micros(i64::MAX) }),
        ["markup.factor", "markup.fixed", "markup.baseFee"]
    );
}

proptest! {
    #[test]
    fn every_number_on_earth_has_a_price(digits in "[1-9][0-9]{6,14}", month in 0usize..2, place in 0usize..5) {
        let card = if month == 0 { july() } else { october() };
        let category = Category::ALL[place];
        let price = quote(&card, &TERMS, &digits, category).expect("a whole card prices everything");
        prop_assert_eq!(Some(price.meta), card.charged_price(price.market, category));
        let dearest = super::price(&card, &TERMS, Country::of_digits(&digits), PricedAs::Dearest).expect("a price");
        prop_assert!(dearest.meta >= price.meta);
    }

    #[test]
    fn a_marked_up_fee_is_the_nearest_millionth(factor_ppm in 0i64..=1_000_000_000, fixed in 0i64..1_000_000, place in 0usize..47) {
        let card = october();
        let market = card.markets().nth(place).expect("47 markets");
        let list = card.list_price(market, Category::Marketing).expect("a price").0;
        let markup = Markup { factor_ppm, fixed: Micros(fixed), base_fee: Micros(1_000) };
        let fee = meta_fee(&card, &markup, market, Category::Marketing).expect("in range").0 - fixed;
        // 2 × the error, in millionths of a millionth: above -1 and at most 1.
        let twice_error = 2 * (i128::from(fee) * 1_000_000 - i128::from(list) * i128::from(factor_ppm));
        prop_assert!((-1_000_000 + 1..=1_000_000).contains(&twice_error), "{twice_error}");
    }

    #[test]
    fn prices_never_panic(factor_ppm: i64, fixed: i64, base_fee: i64, digits in "[0-9]{0,15}") {
        let terms = Terms { markup: Markup { factor_ppm, fixed: Micros(fixed), base_fee: Micros(base_fee) }, ..TERMS };
        if let Ok(price) = quote(&october(), &terms, &digits, Category::Marketing) {
            prop_assert!(price.base.0 >= 0 && price.meta.0 >= 0 && price.total().0 >= price.meta.0);
        }
    }

    #[test]
    fn arbitrary_files_never_panic(name: String, text in "(#? ?[a-z:, 0-9.\"\n-]{0,40}\n?){0,8}") {
        let _ = RateCard::parse_csv(&name, &text);
    }

    #[test]
    fn a_schedule_agrees_with_the_date_in_its_zone(at in 1_780_000_000_000i64..1_800_000_000_000, zone in 0usize..4) {
        let zone = zone_of(zone);
        let cards = Cards::shipped();
        let date = zone.date_at(UnixMs(at)).expect("within the calendar");
        let schedule = cards.schedule(Currency::USD, &zone).expect("a USD card");
        prop_assert_eq!(Some(schedule.at(UnixMs(at)).id()), cards.card_on(Currency::USD, date).map(|card| card.id()));
    }
}

fn zone_of(place: usize) -> Zone {
    zone(["UTC", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Auckland"][place])
}
