//! Money rows cannot be changed, and `ledger verify` tells when somebody managed to.

use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::ledger::{OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_store::messages::{Evidence, Resolve};

use crate::house::{House, START, admitted, organization, settle, text, top_up};

/// A small history with every kind of row: accepted, refused, unknown, resolved, in flight, fake, sandbox.
async fn history(house: &House) -> (OrganizationId, Vec<MessageKey>) {
    let store = &*house.store;
    let owner = organization(store, "acme", Micros(1_000_000)).await;
    top_up(store, owner, Mode::Sandbox, Micros(1_000_000)).await;
    let mut keys = Vec::new();
    for (number, mode) in [Mode::Live, Mode::Live, Mode::Live, Mode::Live, Mode::Live, Mode::Fake, Mode::Sandbox].into_iter().enumerate() {
        let mut new = text(owner, number as u64);
        new.mode = mode;
        keys.push(admitted(store, new).await);
    }
    let kinds = [OutcomeKind::Accepted, OutcomeKind::Refused, OutcomeKind::Unknown, OutcomeKind::Unknown];
    for (key, kind) in keys.iter().zip(kinds) {
        settle(store, owner, *key, kind).await;
    }
    for place in [5, 6] {
        settle(store, owner, keys[place], OutcomeKind::Accepted).await;
    }
    let resolve = Resolve {
        organization: owner,
        message: keys[3],
        at: START.plus_ms(9_000),
        resolution: Resolution::PresumedNotSent,
        evidence: Evidence::Presumed,
        reason: "nothing for a day".to_owned(),
        wamid: None,
        answer: Vec::new(),
    };
    store.resolve(vec![resolve]).await.expect("answers");
    (owner, keys)
}

#[tokio::test]
async fn no_statement_changes_or_deletes_a_money_row() {
    let house = House::new();
    history(&house).await;
    let database = house.database();
    database.execute("INSERT INTO leg_movements VALUES (1, 2, 2, 1, 3399, 'planted', 1)", []).expect("a row to protect");
    for (table, column) in [
        ("messages", "base"),
        ("outcomes", "kind"),
        ("resolutions", "resolution"),
        ("leg_movements", "amount"),
        ("wallet_movements", "amount"),
        ("pinned_prices", "base"),
    ] {
        let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counts");
        let before = count(&format!("SELECT count(*) FROM {table}"));
        assert!(before > 0, "{table} has rows");
        for sql in [format!("UPDATE {table} SET {column} = {column} + 1"), format!("DELETE FROM {table}")] {
            let refused = database.execute(&sql, []).expect_err("append-only").to_string();
            assert!(refused.contains("append-only"), "{sql}: {refused}");
        }
        assert_eq!(count(&format!("SELECT count(*) FROM {table}")), before);
    }
}

#[tokio::test]
async fn a_sound_ledger_is_clean_and_everything_was_examined() {
    let house = House::new();
    history(&house).await;
    let verification = house.store.verify().await.expect("verifies");
    assert!(verification.clean, "{:#?}", verification.checks);
    assert_eq!(verification.checks.iter().map(|check| check.id).collect::<Vec<_>>(), ["I1", "I2", "I3", "I4", "I7", "I8", "events", "I10"]);
    assert!(verification.checks.iter().all(|check| check.examined > 0));
    // 2 top-ups; 6 paid messages with 2 holds; captures of 2, releases of 2 legs of 2.
    assert_eq!((verification.messages, verification.entries), (7, 2 + 12 + 2 + 4));
}

/// Does to a sound ledger what only somebody with the file and ill will could do, and expects
/// exactly this invariant among those that no longer hold.
async fn planted(sql: &str, invariant: &str) {
    let house = House::new();
    history(&house).await;
    let database = house.database();
    let triggers: Vec<String> = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .expect("lists")
        .query_map([], |row| row.get(0))
        .expect("lists")
        .collect::<Result<_, _>>()
        .expect("lists");
    for trigger in triggers {
        database.execute_batch(&format!("DROP TRIGGER {trigger}")).expect("drops");
    }
    database.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").expect("sets");
    database.execute_batch(sql).expect(sql);
    let verification = house.store.verify().await.expect("verifies");
    let broken: Vec<_> = verification.checks.iter().filter(|check| !check.holds).collect();
    assert!(broken.iter().any(|check| check.id == invariant), "{sql}: expected {invariant}, broken are {broken:#?}");
    assert!(!verification.clean);
    assert!(broken.iter().all(|check| !check.violations.is_empty()), "each is told in words");
}

#[tokio::test]
async fn an_entry_without_two_accounts_or_an_owner_breaks_i1() {
    planted("UPDATE wallet_movements SET movement = 9", "I1").await;
    planted("UPDATE wallet_movements SET amount = -5", "I1").await;
    planted("UPDATE messages SET organization = 404 WHERE base <> 0", "I1").await;
    planted("INSERT INTO leg_movements VALUES (3, 7, 2, 10, 0, 'x', 1)", "I1").await;
    planted("INSERT INTO outcomes VALUES (9999, 1, 1, NULL, x'00', 10, 0, 0)", "I1").await;
}

#[tokio::test]
async fn a_wallet_that_is_not_its_entries_breaks_i2() {
    planted("UPDATE wallets SET posted = posted + 1 WHERE mode = 0", "I2").await;
    planted("UPDATE wallets SET held_base = held_base + 1, posted = posted + 1 WHERE mode = 0", "I2").await;
    planted("UPDATE wallets SET held_meta = held_meta - 1, held_base = held_base + 1 WHERE mode = 0", "I2").await;
    planted("DELETE FROM wallets WHERE mode = 1", "I2").await;
    planted("UPDATE wallet_movements SET amount = amount + 1 WHERE mode = 0", "I2").await;
    // Overdrawn, and the wallet agrees with its entries: only a late capture may do that.
    let overdraw = "INSERT INTO wallet_movements VALUES (9999, randomblob(16), 1, 0, 2, -2000000, 'x', 'x', 1);
                    UPDATE wallets SET posted = posted - 2000000 WHERE mode = 0";
    planted(overdraw, "I2").await;
}

#[tokio::test]
async fn a_leg_resolved_twice_or_above_its_hold_breaks_i3() {
    planted("UPDATE outcomes SET base_captured = 1001 WHERE kind = 1 AND base_captured > 0", "I3").await;
    planted("UPDATE outcomes SET base_released = 1000 WHERE kind = 1 AND base_captured > 0", "I3").await;
    planted("UPDATE outcomes SET base_released = 999 WHERE kind = 2", "I3").await;
    planted("INSERT INTO leg_movements SELECT key, 1, 2, 1000, 0, 'x', 1 FROM messages WHERE mode = 0", "I3").await;
    planted("INSERT INTO leg_movements SELECT key, 2, 4, 3400, 0, 'x', 1 FROM messages WHERE mode = 0", "I3").await;
    planted("INSERT INTO leg_movements SELECT key, 2, 5, 3400, 0, 'x', 1 FROM messages WHERE mode = 0", "I3").await;
    planted("INSERT INTO leg_movements SELECT message, 1, 5, 999, 0, 'x', 1 FROM outcomes WHERE base_captured > 0", "I3").await;
}

#[tokio::test]
async fn a_capture_without_evidence_breaks_i4() {
    planted("UPDATE outcomes SET wamid = NULL", "I4").await;
    planted("UPDATE outcomes SET kind = 2 WHERE kind = 1", "I4").await;
    planted("UPDATE resolutions SET base_captured = 1000, base_released = 0", "I4").await;
    planted("INSERT INTO leg_movements SELECT message, 2, 2, 3400, 0, '', 1 FROM outcomes WHERE kind = 1", "I4").await;
    planted("INSERT INTO leg_movements SELECT message, 2, 2, 3400, 0, 'x', 1 FROM open_unknowns", "I4").await;
}

#[tokio::test]
async fn an_outcome_that_disagrees_with_the_money_breaks_i7() {
    planted("UPDATE outcomes SET base_captured = 0 WHERE kind = 1", "I7").await;
    planted("UPDATE outcomes SET base_released = 0, meta_released = 0 WHERE kind = 2", "I7").await;
    planted("DELETE FROM messages WHERE key = (SELECT message FROM outcomes WHERE kind = 5 LIMIT 1)", "I7").await;
    planted("DELETE FROM outcomes WHERE kind = 5", "I7").await;
    planted("DELETE FROM open_unknowns", "I7").await;
    planted("INSERT INTO open_unknowns SELECT message FROM outcomes WHERE kind = 1 LIMIT 1", "I7").await;
    planted("UPDATE resolutions SET resolution = 9", "I7").await;
    planted("UPDATE outcomes SET kind = 9 WHERE kind = 2", "I7").await;
}

#[tokio::test]
async fn money_of_another_mode_breaks_i8() {
    planted("UPDATE messages SET base = 1000 WHERE mode = 2", "I8").await;
    planted("UPDATE messages SET mode = 2 WHERE mode = 0", "I8").await;
    planted("UPDATE messages SET mode = 7 WHERE mode = 0", "I8").await;
    planted("UPDATE wallet_movements SET mode = 2 WHERE mode = 1", "I8").await;
    let sandbox_key = "INSERT INTO api_keys VALUES (1, 1, 1, randomblob(16), 'k', 1, randomblob(32), 'p', 'l', '{}', NULL, NULL, 1)";
    planted(sandbox_key, "I8").await;
}

#[tokio::test]
async fn a_hold_that_is_not_the_pinned_price_breaks_i10() {
    planted("UPDATE messages SET base = 999 WHERE mode = 0", "I10").await;
    planted("UPDATE messages SET price = 404", "I10").await;
    planted("UPDATE pinned_prices SET card = ''", "I10").await;
}

#[tokio::test]
async fn a_ledger_is_proved_while_messages_pass() {
    let house = House::new();
    let owner = organization(&*house.store, "acme", Micros(100_000_000)).await;
    for round in 0..20 {
        let batch = (0..50).map(|number| text(owner, round * 50 + number)).collect();
        let (admissions, verification) = tokio::join!(house.store.admit(batch), house.store.verify());
        assert_eq!(admissions.expect("answers").len(), 50);
        assert!(verification.expect("verifies").clean);
    }
}
