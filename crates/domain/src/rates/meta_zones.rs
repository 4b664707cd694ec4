//! Meta's numbers of time zones, as IANA names.
//!
//! A WhatsApp Business Account tells its zone as a number (`timezone_id`). Meta's list of them is at
//! developers.facebook.com/docs/marketing-api/reference/ad-account/timezone-ids. A wrong name would
//! price messages by the wrong card, so only those numbers stand here whose names two copies of that
//! list, kept by different people, agree on; the two part from 126 on, where 128 is the only number
//! that both name alike. Any other number is kept, shown and priced in UTC until an operator names
//! its zone ([`AppZone`]).

use super::schedule::Zone;

/// Where an application's zone is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneFrom {
    /// An operator set it.
    Operator,
    /// Meta's account has it.
    Meta,
    /// Neither: UTC.
    Default,
}

/// The zone in which an application's prices' dates begin (contract §6), and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppZone {
    /// The zone.
    pub zone: Zone,
    /// Who said so.
    pub from: ZoneFrom,
    /// Meta's number, where it is the reason for [`ZoneFrom::Default`]: one that is not known here.
    pub unknown_meta_id: Option<String>,
}

impl AppZone {
    /// An operator's word goes first, Meta's number second; else it is UTC. A name that this version
    /// does not know (no operator can set one) counts as none.
    #[must_use]
    pub fn of(operator: Option<&str>, meta_id: Option<&str>) -> AppZone {
        if let Some(zone) = operator.and_then(|name| name.parse().ok()) {
            return AppZone { zone, from: ZoneFrom::Operator, unknown_meta_id: None };
        }
        match (meta_id, meta_id.and_then(meta_zone)) {
            (_, Some(zone)) => AppZone { zone, from: ZoneFrom::Meta, unknown_meta_id: None },
            (unknown, None) => AppZone { zone: Zone::utc(), from: ZoneFrom::Default, unknown_meta_id: unknown.map(str::to_owned) },
        }
    }
}

/// The zone of one of Meta's numbers, as Meta writes it (`"58"`); `None` for any other text.
#[must_use]
pub fn meta_zone(id: &str) -> Option<Zone> {
    let id: u16 = id.parse().ok()?;
    let place = NAMES.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    NAMES[place].1.parse().ok()
}

/// In order of number.
const NAMES: &[(u16, &str)] = &[
    (1, "America/Los_Angeles"),
    (2, "America/Denver"),
    (3, "Pacific/Honolulu"),
    (4, "America/Anchorage"),
    (5, "America/Phoenix"),
    (6, "America/Chicago"),
    (7, "America/New_York"),
    (8, "Asia/Dubai"),
    (9, "America/Argentina/San_Luis"),
    (10, "America/Argentina/Buenos_Aires"),
    (11, "America/Argentina/Salta"),
    (12, "Europe/Vienna"),
    (13, "Australia/Perth"),
    (14, "Australia/Broken_Hill"),
    (15, "Australia/Sydney"),
    (16, "Europe/Sarajevo"),
    (17, "Asia/Dhaka"),
    (18, "Europe/Brussels"),
    (19, "Europe/Sofia"),
    (20, "Asia/Bahrain"),
    (21, "America/La_Paz"),
    (22, "America/Noronha"),
    (23, "America/Campo_Grande"),
    (24, "America/Belem"),
    (25, "America/Sao_Paulo"),
    (26, "America/Nassau"),
    (27, "America/Dawson"),
    (28, "America/Vancouver"),
    (29, "America/Dawson_Creek"),
    (30, "America/Edmonton"),
    (31, "America/Rainy_River"),
    (32, "America/Regina"),
    (33, "America/Atikokan"),
    (34, "America/Iqaluit"),
    (35, "America/Toronto"),
    (36, "America/Blanc-Sablon"),
    (37, "America/Halifax"),
    (38, "America/St_Johns"),
    (39, "Europe/Zurich"),
    (40, "Pacific/Easter"),
    (41, "America/Santiago"),
    (42, "Asia/Shanghai"),
    (43, "America/Bogota"),
    (44, "America/Costa_Rica"),
    (45, "Asia/Nicosia"),
    (46, "Europe/Prague"),
    (47, "Europe/Berlin"),
    (48, "Europe/Copenhagen"),
    (49, "America/Santo_Domingo"),
    (50, "Pacific/Galapagos"),
    (51, "America/Guayaquil"),
    (52, "Europe/Tallinn"),
    (53, "Africa/Cairo"),
    (54, "Atlantic/Canary"),
    (55, "Europe/Madrid"),
    (56, "Europe/Helsinki"),
    (57, "Europe/Paris"),
    (58, "Europe/London"),
    (59, "Africa/Accra"),
    (60, "Europe/Athens"),
    (61, "America/Guatemala"),
    (62, "Asia/Hong_Kong"),
    (63, "America/Tegucigalpa"),
    (64, "Europe/Zagreb"),
    (65, "Europe/Budapest"),
    (66, "Asia/Jakarta"),
    (67, "Asia/Makassar"),
    (68, "Asia/Jayapura"),
    (69, "Europe/Dublin"),
    (70, "Asia/Jerusalem"),
    (71, "Asia/Kolkata"),
    (72, "Asia/Baghdad"),
    (73, "Atlantic/Reykjavik"),
    (74, "Europe/Rome"),
    (75, "America/Jamaica"),
    (76, "Asia/Amman"),
    (77, "Asia/Tokyo"),
    (78, "Africa/Nairobi"),
    (79, "Asia/Seoul"),
    (80, "Asia/Kuwait"),
    (81, "Asia/Beirut"),
    (82, "Asia/Colombo"),
    (83, "Europe/Vilnius"),
    (84, "Europe/Luxembourg"),
    (85, "Europe/Riga"),
    (86, "Africa/Casablanca"),
    (87, "Europe/Skopje"),
    (88, "Europe/Malta"),
    (89, "Indian/Mauritius"),
    (90, "Indian/Maldives"),
    (91, "America/Tijuana"),
    (92, "America/Hermosillo"),
    (93, "America/Mazatlan"),
    (94, "America/Mexico_City"),
    (95, "Asia/Kuala_Lumpur"),
    (96, "Africa/Lagos"),
    (97, "America/Managua"),
    (98, "Europe/Amsterdam"),
    (99, "Europe/Oslo"),
    (100, "Pacific/Auckland"),
    (101, "Asia/Muscat"),
    (102, "America/Panama"),
    (103, "America/Lima"),
    (104, "Asia/Manila"),
    (105, "Asia/Karachi"),
    (106, "Europe/Warsaw"),
    (107, "America/Puerto_Rico"),
    (108, "Asia/Gaza"),
    (109, "Atlantic/Azores"),
    (110, "Europe/Lisbon"),
    (111, "America/Asuncion"),
    (112, "Asia/Qatar"),
    (113, "Europe/Bucharest"),
    (114, "Europe/Belgrade"),
    (115, "Europe/Kaliningrad"),
    (116, "Europe/Moscow"),
    (117, "Europe/Samara"),
    (118, "Asia/Yekaterinburg"),
    (119, "Asia/Omsk"),
    (120, "Asia/Krasnoyarsk"),
    (121, "Asia/Irkutsk"),
    (122, "Asia/Yakutsk"),
    (123, "Asia/Vladivostok"),
    (124, "Asia/Magadan"),
    (125, "Asia/Kamchatka"),
    (128, "Asia/Singapore"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_names_a_zone_that_prices_can_begin_in() {
        for (id, name) in NAMES {
            let zone = meta_zone(&id.to_string()).unwrap_or_else(|| panic!("{id} is {name}"));
            assert_eq!(zone.name(), *name, "the library knows {id} by another name");
        }
        assert_eq!(NAMES.len(), 126);
    }

    #[test]
    fn the_numbers_are_in_order_and_each_has_a_zone_of_its_own() {
        assert!(NAMES.is_sorted_by(|(a, _), (b, _)| a < b));
        let names: std::collections::HashSet<_> = NAMES.iter().map(|(_, name)| name).collect();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn a_number_that_two_copies_of_metas_list_do_not_agree_on_has_no_zone() {
        for id in ["0", "126", "127", "129", "133", "142", "475", "999", "65537", "-1", "1.0", " 1", "", "UTC"] {
            assert_eq!(meta_zone(id), None, "{id:?}");
        }
    }

    #[test]
    fn an_operators_word_goes_before_metas_and_metas_before_utc() {
        let named = |operator, meta| {
            let zone = AppZone::of(operator, meta);
            (zone.zone.name().to_owned(), zone.from, zone.unknown_meta_id)
        };
        assert_eq!(named(Some("Europe/Istanbul"), Some("1")), ("Europe/Istanbul".to_owned(), ZoneFrom::Operator, None));
        assert_eq!(named(Some("UTC"), Some("1")), ("UTC".to_owned(), ZoneFrom::Operator, None));
        assert_eq!(named(None, Some("11")), ("America/Argentina/Salta".to_owned(), ZoneFrom::Meta, None));
        assert_eq!(named(None, Some("999")), ("UTC".to_owned(), ZoneFrom::Default, Some("999".to_owned())));
        assert_eq!(named(None, None), ("UTC".to_owned(), ZoneFrom::Default, None));
    }
}
