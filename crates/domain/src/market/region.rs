//! Meta's regions: the markets that gather the countries without one of their own.

/// Whatever no list names.
pub(super) const OTHER: u16 = 0;
pub(super) const NORTH_AMERICA: u16 = 1;
pub(super) const AFRICA: u16 = 2;
pub(super) const ASIA_PACIFIC: u16 = 3;
pub(super) const EASTERN_EUROPE: u16 = 4;
pub(super) const WESTERN_EUROPE: u16 = 5;
pub(super) const LATIN_AMERICA: u16 = 6;
pub(super) const MIDDLE_EAST: u16 = 7;

/// Code and name of each region. The place in this list plus one is stored, so it only grows at
/// its end.
pub(super) const REGIONS: [(&str, &str); super::REGION_COUNT as usize] = [
    ("other", "Other"),
    ("north_america", "North America"),
    ("rest_of_africa", "Rest of Africa"),
    ("rest_of_asia_pacific", "Rest of Asia Pacific"),
    ("rest_of_central_and_eastern_europe", "Rest of Central & Eastern Europe"),
    ("rest_of_western_europe", "Rest of Western Europe"),
    ("rest_of_latin_america", "Rest of Latin America"),
    ("rest_of_middle_east", "Rest of Middle East"),
];
