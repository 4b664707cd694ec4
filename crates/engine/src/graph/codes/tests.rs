//! The table is data, so its tests are about all of it.

use super::*;

/// Every code that meta-cloud-api §3.2 names, with the class that contract §3.4 gives it.
const CLASSES: &[(MetaRefusalClass, &[i64])] = &[
    (
        Caller,
        &[
            100, 192, 131008, 131009, 131021, 131030, 131051, 131061, 131062, 131063, 132000, 132001, 132005, 132007, 132008, 132012,
            132015, 132016, 132018, 132068, 132069, 132500, 132999, 137000,
        ],
    ),
    (Barred, &[368, 130497, 131005, 131031, 131037, 133010, 139200]),
    (Limited, &[4, 613, 80007, 130429, 131048, 131056]),
    (
        Link,
        &[
            0, 1, 2, 3, 10, 33, 104, 190, 200, 210, 299, 80008, 130403, 130472, 131000, 131016, 131020, 131026, 131041, 131042, 131043,
            131044, 131045, 131047, 131049, 131050, 131052, 131053, 131055, 131057, 131059, 131064, 131201, 131202, 131204, 131207, 131208,
            131209, 131215, 133000, 133004, 133005, 133006, 133008, 133009, 133015, 133016, 134011, 134100, 134101, 134102, 135000, 138000,
            138025, 139000, 139004, 139100, 139103, 141002, 147001, 147005, 200_005, 200_007,
        ],
    ),
];

#[test]
fn the_table_is_ascending_without_overlap() {
    for pair in TABLE.windows(2) {
        assert!(pair[0].last < pair[1].first, "{:?} and {:?}", pair[0], pair[1]);
    }
    assert!(TABLE.iter().all(|entry| entry.first <= entry.last));
}

#[test]
fn every_code_of_metas_list_has_its_class_and_words_of_its_own() {
    for (class, codes) in CLASSES {
        for code in *codes {
            assert!(entry(*code).is_some(), "{code} is listed");
            let meaning = meaning(*code, None);
            assert_eq!(meaning.class, *class, "{code}");
            assert!(meaning.hint.len() > 20 && meaning.hint.ends_with('.'), "{code}: {}", meaning.hint);
            assert_ne!(meaning.hint, UNLISTED.hint, "{code}");
        }
    }
}

#[test]
fn no_row_stands_in_the_table_without_a_test_of_its_class() {
    let tested: Vec<i64> = CLASSES.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
    for row in TABLE {
        let covered = tested.iter().any(|code| (row.first..=row.last).contains(code)) || row.meaning.hint == OTHER_TEMPLATE_FAULT;
        assert!(covered, "{row:?}");
    }
}

#[test]
fn an_unlisted_code_is_our_trouble_and_goes_by_metas_own_word() {
    for code in [-1, 5, 99, 300, 367, 131_999, 133_001, 140_000, 999_999, i64::MIN, i64::MAX] {
        assert_eq!(meaning(code, None), UNLISTED, "{code}");
    }
}

#[test]
fn every_limit_says_how_long_to_wait() {
    for row in TABLE.iter().filter(|row| row.meaning.class == Limited) {
        assert!(row.meaning.retryable == Some(true) && row.meaning.retry_after_ms.is_some(), "{row:?}");
    }
}

#[test]
fn a_barred_account_and_a_faulty_message_are_not_to_be_repeated_as_they_are() {
    for row in TABLE.iter().filter(|row| row.meaning.class == Barred) {
        assert_eq!(row.meaning.retryable, Some(false), "{row:?}");
    }
    for code in [100, 131_008, 131_009, 132_000, 132_001] {
        assert_eq!(meaning(code, None).retryable, Some(false), "{code}");
    }
}

#[test]
fn a_number_is_paused_by_the_codes_that_bar_it_and_by_no_other() {
    for code in [10, 190, 200, 250, 299, 368, 131_031] {
        assert!(pauses_number(code), "{code}");
    }
    for code in [0, 3, 100, 104, 199, 300, 130_429, 131_005, 131_030, 131_032, 131_056, 133_010, 200_005] {
        assert!(!pauses_number(code), "{code}");
    }
}

#[test]
fn a_subcode_sharpens_the_hint_and_nothing_else() {
    for (code, subcode, hint) in SUBCODES {
        let (plain, sharp) = (meaning(*code, None), meaning(*code, Some(*subcode)));
        assert_eq!(sharp, Meaning { hint, ..plain });
        assert_ne!(sharp.hint, plain.hint);
    }
    assert_eq!(meaning(100, Some(1)), meaning(100, None));
}
