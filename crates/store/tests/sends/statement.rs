//! A statement as finance reads it: by the time of each movement, with what was available after it.

use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::ledger::{Leg, Movement, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_store::Store;
use turnpike_store::ledger::{
    LegMoved, MoveLeg, StatementCursor, StatementLine, StatementPeriod, StatementQuery, WalletMoved, WalletMovement,
};
use turnpike_store::messages::{Evidence, Resolve};
use uuid::Uuid;

use crate::chance::Chance;
use crate::house::{House, START, admitted, movement, organization, outcome, settle, text};

const PLENTY: Micros = Micros(10_000_000);
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn at(ms: i64) -> UnixMs {
    START.plus_ms(ms)
}

/// A message admitted at that instant, and accepted 80 ms after.
async fn sent(store: &dyn Store, owner: OrganizationId, number: u64, when: i64) -> MessageKey {
    let mut new = text(owner, number);
    new.at = at(when);
    let key = admitted(store, new).await;
    let mut accepted = outcome(owner, key, OutcomeKind::Accepted);
    accepted.at = at(when + 80);
    store.settle(vec![accepted]).await.expect("settles");
    key
}

async fn moved(store: &dyn Store, owner: OrganizationId, message: MessageKey, leg: Leg, movement: Movement, amount: Micros, when: i64) {
    let asked = MoveLeg { organization: owner, message, leg, movement, amount, reason: "told so".to_owned(), at: at(when) };
    let done = store.move_legs(vec![asked]).await.expect("answers").pop().expect("one answer");
    assert!(matches!(done, LegMoved::Done(_)), "{done:?}");
}

async fn adjusted(store: &dyn Store, owner: OrganizationId, amount: i64, when: i64) {
    let mut order = movement(Uuid::from_u128(when.unsigned_abs().into()), owner, Mode::Live, WalletMovement::Adjust, Micros(amount));
    order.at = at(when);
    let done = store.move_wallet(order).await.expect("answers");
    assert!(matches!(done, WalletMoved::Done(_)), "{done:?}");
}

/// Every line of a query, page by page, and the period that the first page told.
async fn all(store: &dyn Store, query: &StatementQuery) -> (Vec<StatementLine>, Option<StatementPeriod>) {
    let (mut lines, mut query, mut period) = (Vec::new(), query.clone(), None);
    loop {
        let page = store.statement(query.clone()).await.expect("reads");
        assert!(page.lines.len() <= usize::try_from(query.limit).expect("small"));
        if query.before.is_none() {
            period = page.period;
        }
        lines.extend(page.lines);
        let Some(next) = page.next else { return (lines, period) };
        // As it travels.
        query.before = Some(next.to_string().parse().expect("its own text"));
        assert_eq!(query.before, Some(next));
    }
}

/// In order, each once, and each with what was available after it.
async fn assert_adds_up(store: &dyn Store, owner: OrganizationId, limit: u32) -> Vec<StatementLine> {
    let (lines, _) = all(store, &StatementQuery::newest(owner, Mode::Live, limit)).await;
    assert!(lines.windows(2).all(|pair| (pair[0].at, pair[0].sequence) > (pair[1].at, pair[1].sequence)), "newest first, each once");
    let mut sum = 0;
    for line in lines.iter().rev() {
        sum += line.moved();
        assert_eq!(line.available, Micros(sum), "after {line:?}");
    }
    let stands = store.balance(owner, Mode::Live).await.expect("answers").expect("a wallet");
    assert_eq!(Micros(sum), stands.available());
    lines
}

#[tokio::test]
async fn what_comes_late_stands_at_its_own_time() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let first = sent(store, owner, 1, HOUR).await;
    adjusted(store, owner, -500_000, 2 * HOUR).await;
    let second = sent(store, owner, 2, 3 * HOUR).await;
    moved(store, owner, first, Leg::Meta, Movement::Release, Micros::ZERO, 4 * HOUR).await;
    adjusted(store, owner, 7_000, 5 * HOUR).await;
    // Days later: proof that the first was sent after all, and a refund of the second.
    moved(store, owner, first, Leg::Meta, Movement::LateCapture, Micros(3_400), 5 * DAY).await;
    adjusted(store, owner, 1_000, 6 * DAY).await;
    moved(store, owner, second, Leg::Base, Movement::Refund, Micros::ZERO, 40 * DAY).await;

    let lines = assert_adds_up(store, owner, 2).await;
    let told: Vec<(i64, &str, i64)> = lines.iter().rev().map(|line| (line.at.0 - START.0, line.kind.as_str(), line.available.0)).collect();
    assert_eq!(
        told,
        [
            (0, "top_up", 10_000_000),
            (HOUR, "hold", 9_999_000),
            (HOUR, "hold", 9_995_600),
            (HOUR + 80, "capture", 9_995_600),
            (2 * HOUR, "adjust", 9_495_600),
            (3 * HOUR, "hold", 9_494_600),
            (3 * HOUR, "hold", 9_491_200),
            (3 * HOUR + 80, "capture", 9_491_200),
            (4 * HOUR, "release", 9_494_600),
            (5 * HOUR, "adjust", 9_501_600),
            (5 * DAY, "late_capture", 9_498_200),
            (6 * DAY, "adjust", 9_499_200),
            (40 * DAY, "refund", 9_500_200),
        ]
    );
    house.assert_sound().await;
}

#[tokio::test]
async fn a_period_has_what_was_available_at_both_ends() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let message = sent(store, owner, 1, HOUR).await;
    moved(store, owner, message, Leg::Meta, Movement::Capture, Micros(3_400), 2 * HOUR).await;
    moved(store, owner, message, Leg::Base, Movement::Refund, Micros::ZERO, 3 * DAY).await;
    adjusted(store, owner, -1_000_000, 9 * DAY).await;
    let of = |from: Option<i64>, until: Option<i64>| StatementQuery {
        from: from.map(at),
        until: until.map(at),
        ..StatementQuery::newest(owner, Mode::Live, 1)
    };
    for (from, until, kinds, opening, closing) in [
        (Some(DAY), Some(4 * DAY), vec!["refund"], 9_995_600, 9_996_600),
        (Some(3 * DAY), Some(3 * DAY + 1), vec!["refund"], 9_995_600, 9_996_600),
        (Some(3 * DAY + 1), Some(9 * DAY), vec![], 9_996_600, 9_996_600),
        (None, Some(HOUR + 1), vec!["hold", "hold", "top_up"], 0, 9_995_600),
        (Some(4 * DAY), None, vec!["adjust"], 9_996_600, 8_996_600),
        (Some(30 * DAY), None, vec![], 8_996_600, 8_996_600),
        (None, Some(-DAY), vec![], 0, 0),
    ] {
        let (lines, period) = all(store, &of(from, until)).await;
        assert_eq!(lines.iter().map(|line| line.kind.as_str()).collect::<Vec<_>>(), kinds, "{from:?}..{until:?}");
        assert_eq!(period, Some(StatementPeriod { opening: Micros(opening), closing: Micros(closing) }), "{from:?}..{until:?}");
        assert_eq!(lines.first().map_or(closing, |line| line.available.0), closing, "{from:?}..{until:?}");
    }
}

#[tokio::test]
async fn a_page_goes_on_where_the_last_one_ended_though_more_was_moved_meanwhile() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    for number in 0..20 {
        sent(store, owner, number, i64::try_from(number).expect("small") * 10).await;
    }
    let whole = assert_adds_up(store, owner, 500).await;
    let first = store.statement(StatementQuery::newest(owner, Mode::Live, 9)).await.expect("reads");
    // Newer than the page, and among what it has not shown: overtaken by others on its way here.
    sent(store, owner, 100, 5_000).await;
    sent(store, owner, 101, 35).await;
    let query = StatementQuery { before: first.next, ..StatementQuery::newest(owner, Mode::Live, 500) };
    let rest = store.statement(query).await.expect("reads").lines;
    assert!(whole[9..].iter().all(|line| rest.iter().any(|found| found.sequence == line.sequence)), "nothing is left out");
    assert!(whole[..9].iter().all(|line| rest.iter().all(|found| found.sequence != line.sequence)), "nothing is shown twice");
    let mut sum = 0;
    for line in rest.iter().rev() {
        sum += line.moved();
        assert_eq!(line.available, Micros(sum), "after {line:?}");
    }
}

#[test]
fn what_is_no_cursor_is_told() {
    for text in ["", "7", "a.b", "1.2.3.4.5", "1.", "yesterday"] {
        assert!(text.parse::<StatementCursor>().is_err(), "{text}");
    }
}

/// One thing that happens, `when` after the start.
async fn happens(
    store: &dyn Store,
    chance: &mut Chance,
    owners: &[OrganizationId],
    sends: &mut Vec<(OrganizationId, MessageKey, bool)>,
    number: u64,
    when: i64,
) {
    let owner = chance.of(owners);
    match chance.below(10) {
        0..=4 => {
            // Callers overtake each other.
            let when = when - i64::try_from(chance.below(20_000)).expect("small");
            let mut new = text(owner, number);
            new.at = at(when);
            let key = admitted(store, new).await;
            let kind = chance.of(&[OutcomeKind::Accepted, OutcomeKind::Accepted, OutcomeKind::Refused, OutcomeKind::Unknown]);
            let mut ended = outcome(owner, key, kind);
            ended.at = at(when + i64::try_from(chance.below(25_000)).expect("small"));
            store.settle(vec![ended]).await.expect("settles");
            if kind != OutcomeKind::Refused {
                sends.push((owner, key, kind == OutcomeKind::Unknown));
            }
        }
        5 => {
            let order = movement(Uuid::from_u128(u128::from(number) + 1), owner, Mode::Live, WalletMovement::Adjust, Micros(77));
            store.move_wallet(turnpike_store::ledger::MoveWallet { at: at(when), ..order }).await.expect("moves");
        }
        _ if sends.is_empty() => {}
        _ => {
            let place = usize::try_from(chance.below(sends.len() as u64)).expect("a place");
            let (owner, message, is_unknown) = sends[place];
            if is_unknown {
                let resolution = chance.of(&[Resolution::Accepted, Resolution::Failed, Resolution::PresumedNotSent]);
                let wamid = (resolution == Resolution::Accepted).then(|| crate::house::hash("wamid", number));
                let resolve = Resolve {
                    organization: owner,
                    message,
                    at: at(when),
                    resolution,
                    evidence: Evidence::Operator,
                    reason: "looked".to_owned(),
                    wamid,
                    answer: Vec::new(),
                };
                store.resolve(vec![resolve]).await.expect("answers");
                sends[place].2 = false;
                return;
            }
            let leg = chance.of(&Leg::ALL);
            let movement = chance.of(&[Movement::Capture, Movement::Release, Movement::LateCapture, Movement::Refund]);
            let amount = Micros(i64::try_from(chance.below(3_400)).expect("small"));
            let asked = MoveLeg { organization: owner, message, leg, movement, amount, reason: "told so".to_owned(), at: at(when) };
            store.move_legs(vec![asked]).await.expect("answers");
        }
    }
}

#[tokio::test]
async fn whatever_moved_the_balance_of_each_line_is_the_sum_up_to_it() {
    for seed in 0..12u64 {
        let house = House::new();
        let store = &*house.store;
        let mut chance = Chance(seed);
        let owners = [organization(store, "acme", PLENTY).await, organization(store, "other", PLENTY).await];
        let (mut sends, mut when) = (Vec::new(), HOUR);
        for number in 0..250 {
            // Crowded seconds, and weeks of silence.
            let pause = if chance.one_in(40) { 20 * DAY } else { chance.of(&[0, 3, 900, 70_000]) };
            when += pause;
            happens(store, &mut chance, &owners, &mut sends, number, when).await;
        }
        for owner in owners {
            let limit = chance.of(&[1, 7, 50, 500]);
            let lines = assert_adds_up(store, owner, limit).await;
            let entries: i64 = house
                .database()
                .query_row(
                    "SELECT count(*) FROM journal WHERE organization = ?1 AND mode = ?2",
                    [owner.0, i64::from(Mode::Live.number())],
                    |row| row.get(0),
                )
                .expect("counts");
            assert_eq!(i64::try_from(lines.len()).expect("small"), entries, "seed {seed}: every entry is there");
            for _ in 0..6 {
                let mut ends = [chance.below(when.unsigned_abs()), chance.below(when.unsigned_abs())];
                ends.sort_unstable();
                let [from, until] = ends.map(|ms| at(i64::try_from(ms).expect("small")));
                let query =
                    StatementQuery { from: Some(from), until: Some(until), ..StatementQuery::newest(owner, Mode::Live, limit.max(7)) };
                let (found, period) = all(store, &query).await;
                let expected: Vec<&StatementLine> = lines.iter().filter(|line| line.at >= from && line.at < until).collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "seed {seed}: {from:?}..{until:?}");
                let sum =
                    |keep: &dyn Fn(&StatementLine) -> bool| Micros(lines.iter().filter(|line| keep(line)).map(StatementLine::moved).sum());
                let ends = StatementPeriod { opening: sum(&|line| line.at < from), closing: sum(&|line| line.at < until) };
                assert_eq!(period, Some(ends), "seed {seed}: {from:?}..{until:?}");
            }
        }
        house.assert_sound().await;
    }
}

#[tokio::test]
async fn a_statement_pages_through_every_entry_once() {
    let house = House::new();
    let store = &*house.store;
    let (owner, other) = (organization(store, "acme", PLENTY).await, organization(store, "other", PLENTY).await);
    for number in 0..300 {
        let key = admitted(store, text(owner, number)).await;
        settle(store, owner, key, if number % 3 == 0 { OutcomeKind::Refused } else { OutcomeKind::Accepted }).await;
        admitted(store, text(other, number)).await;
    }
    let (lines, _) = all(store, &StatementQuery::newest(owner, Mode::Live, 37)).await;
    // A top-up; two holds each; a capture or two releases.
    assert_eq!(lines.len(), 1 + 600 + 200 + 200);
    assert!(lines.windows(2).all(|pair| (pair[0].at, pair[0].sequence) > (pair[1].at, pair[1].sequence)));
    let moved = |account: &str| -> i64 {
        lines
            .iter()
            .map(|line| {
                if line.credit == account {
                    line.amount.0
                } else if line.debit == account {
                    -line.amount.0
                } else {
                    0
                }
            })
            .sum()
    };
    let stands = store.balance(owner, Mode::Live).await.expect("answers").expect("a wallet");
    assert_eq!(Micros(moved("wallet")), stands.available());
    assert_eq!(Micros(moved("held_base")), stands.held_base);
    assert_eq!(Micros(moved("held_meta")), stands.held_meta);
    assert_eq!((moved("cash"), moved("base_revenue")), (-PLENTY.0, 200_000));
    assert!(lines.iter().all(|line| (line.leg.is_some()) == line.message.is_some()));
}

/// The part of the migration that finds the turns of a journal that was written before they were noted.
fn find_turns_anew(house: &House) {
    let migration = include_str!("../../migrations/sqlite/0012_clock_turns.sql");
    let (_, inserts) = migration.split_once("INSERT OR IGNORE").expect("it fills the table");
    let database = house.database();
    database.execute_batch(&format!("DELETE FROM clock_turns; INSERT OR IGNORE{inserts}")).expect("finds them");
}

#[tokio::test]
async fn a_clock_that_jumps_by_hours_or_days_hides_nothing() {
    for seed in 100..112u64 {
        let mut house = House::new();
        let mut chance = Chance(seed);
        let owners = [organization(&*house.store, "acme", PLENTY).await, organization(&*house.store, "other", PLENTY).await];
        let (mut sends, mut when, mut instants) = (Vec::new(), HOUR, vec![0]);
        for number in 0..250 {
            when += match chance.below(25) {
                0 => chance.of(&[3 * HOUR, 2 * DAY, 400 * DAY]),
                1 => -chance.of(&[61_000, 3 * HOUR, 2 * DAY, 400 * DAY]),
                _ => chance.of(&[0, 3, 900, 70_000]),
            };
            instants.push(when);
            happens(&*house.store, &mut chance, &owners, &mut sends, number, when).await;
            if chance.one_in(60) {
                (house, _) = house.reopen(at(when));
            }
        }
        if chance.one_in(2) {
            find_turns_anew(&house);
            (house, _) = house.reopen(at(when));
        }
        let store = &*house.store;
        for owner in owners {
            let limit = chance.of(&[1, 7, 50, 500]);
            let lines = assert_adds_up(store, owner, limit).await;
            let entries: i64 = house
                .database()
                .query_row(
                    "SELECT count(*) FROM journal WHERE organization = ?1 AND mode = ?2",
                    [owner.0, i64::from(Mode::Live.number())],
                    |row| row.get(0),
                )
                .expect("counts");
            assert_eq!(i64::try_from(lines.len()).expect("small"), entries, "seed {seed}: every entry is there");
            for _ in 0..12 {
                let mut ends = [chance.of(&instants), chance.of(&instants) + 1];
                ends.sort_unstable();
                let [from, until] = ends.map(at);
                let query =
                    StatementQuery { from: Some(from), until: Some(until), ..StatementQuery::newest(owner, Mode::Live, limit.max(7)) };
                let (found, period) = all(store, &query).await;
                let expected: Vec<&StatementLine> = lines.iter().filter(|line| line.at >= from && line.at < until).collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "seed {seed}: {from:?}..{until:?}");
                let sum =
                    |keep: &dyn Fn(&StatementLine) -> bool| Micros(lines.iter().filter(|line| keep(line)).map(StatementLine::moved).sum());
                let ends = StatementPeriod { opening: sum(&|line| line.at < from), closing: sum(&|line| line.at < until) };
                assert_eq!(period, Some(ends), "seed {seed}: {from:?}..{until:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_between_two_pages_hides_nothing_from_the_second() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    for number in 0..20 {
        sent(store, owner, number, i64::try_from(number).expect("small") * HOUR).await;
    }
    let first = store.statement(StatementQuery::newest(owner, Mode::Live, 9)).await.expect("reads");
    assert!(first.next.is_some_and(|next| next.carried.is_some()), "nothing older was to be expected");
    sent(store, owner, 100, 5 * HOUR + 7).await;
    let query = StatementQuery { before: first.next, ..StatementQuery::newest(owner, Mode::Live, 500) };
    let rest = store.statement(query).await.expect("reads").lines;
    assert_eq!(rest.iter().filter(|line| line.at == at(5 * HOUR + 7)).count(), 2, "both holds of it");
    assert_eq!(first.lines.len() + rest.len(), 1 + 21 * 3);
    let mut sum = 0;
    for line in rest.iter().rev() {
        sum += line.moved();
        assert_eq!(line.available, Micros(sum), "after {line:?}");
    }
}

#[tokio::test]
#[ignore = "a measurement by hand: how long the totals of a year of one wallet take"]
async fn totals_of_four_hundred_thousand_movements() {
    const MESSAGES: u64 = 100_000;
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", Micros(1_000_000_000_000)).await;
    for batch in 0..MESSAGES / 500 {
        let made = |number: u64| {
            let mut new = text(owner, number);
            new.at = at(i64::try_from(number).expect("small") * 300_000);
            new
        };
        let admitted = store.admit((batch * 500..(batch + 1) * 500).map(made).collect()).await.expect("answers");
        let keys: Vec<MessageKey> = admitted
            .into_iter()
            .map(|admission| match admission {
                turnpike_store::messages::Admission::New { key, .. } => key,
                other => panic!("{other:?}"),
            })
            .collect();
        let times = |place: usize| i64::try_from(batch * 500 + place as u64).expect("small") * 300_000;
        let outcomes = keys.iter().enumerate().map(|(place, key)| {
            let mut ended = outcome(owner, *key, OutcomeKind::Accepted);
            ended.at = at(times(place) + 80);
            ended
        });
        store.settle(outcomes.collect()).await.expect("settles");
        let captures = keys.iter().enumerate().map(|(place, message)| MoveLeg {
            organization: owner,
            message: *message,
            leg: Leg::Meta,
            movement: Movement::Capture,
            amount: Micros(3_000),
            reason: "delivered".to_owned(),
            at: at(times(place) + 5_000),
        });
        store.move_legs(captures.collect()).await.expect("moves");
    }
    for (from, until) in [(0, 1_000 * DAY), (30 * DAY, 60 * DAY), (0, 30 * DAY)] {
        let query = StatementQuery { from: Some(at(from)), until: Some(at(until)), ..StatementQuery::newest(owner, Mode::Live, 100) };
        #[expect(clippy::disallowed_methods, reason = "a measurement of real time")]
        let begun = std::time::Instant::now();
        let page = store.statement(query).await.expect("reads");
        println!("{from}..{until}: {:?}, {} lines, {:?}", begun.elapsed(), page.lines.len(), page.period);
    }
}
