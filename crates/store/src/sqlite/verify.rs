//! The proof that the ledger is right: everything recomputed from the journal, and compared.
//!
//! Runs in one read transaction while the gateway runs, so it sees one commit's state. It walks the
//! places of the journal in ranges, because the view answers a range from the tables' own order and
//! a range fits in memory; nothing that it uses comes from the writer.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::events::STATUSES_FORGOTTEN;
use super::failure::Failure;
use crate::ledger::{InvariantCheck, Verification};

/// Places per range.
const RANGE: i64 = 20_000;

/// Violations told in words; more are only counted.
const TOLD_MAX: usize = 20;

/// Accounts that an entry may name (contract §6).
const ACCOUNTS: [&str; 7] = ["wallet", "held_base", "held_meta", "cash", "base_revenue", "meta_revenue", "adjustments"];

/// What is proved, by the names of reliability §a.
const CLAIMS: [(&str, &str); 8] = [
    ("I1", "every entry debits one account and credits another by the same positive amount, and each currency sums to zero"),
    ("I2", "each wallet is what its entries add up to; what is held is what open messages hold; only a late capture overdraws"),
    (
        "I3",
        "a leg is held once and resolved once, never above its hold; late captures follow releases or captures, refunds follow captures",
    ),
    (
        "I4",
        "every capture has evidence: an accepted outcome with its wamid, a resolution, a status of Meta's with our token, or a reasoned movement of a message that was sent",
    ),
    ("I7", "an accepted message has its base fee captured, a refused one nothing; every outcome and resolution belongs to its message"),
    ("I8", "a fake moves no money, and sandbox and live messages each use their own wallet"),
    ("events", "every delivery belongs to an event and every attempt to a delivery; what waits for a price is still held"),
    ("I10", "every amount is an integer that fits, and what a message holds is the price that was pinned for it"),
];

/// Proves the invariants on one snapshot.
pub(super) fn verify(connection: &Connection) -> Result<Verification, Failure> {
    let mut proof = Proof::default();
    proof.read_organizations(connection)?;
    proof.statuses_forgotten =
        connection.query_row("SELECT coalesce((SELECT value FROM marks WHERE name = ?1), 0)", [STATUSES_FORGOTTEN], |row| row.get(0))?;
    let newest: i64 = connection.query_row(
        "SELECT max(coalesce((SELECT max(key) FROM messages), 0), coalesce((SELECT max(place) FROM wallet_movements), 0),
                    coalesce((SELECT max(message) FROM outcomes), 0), coalesce((SELECT max(message) FROM resolutions), 0),
                    coalesce((SELECT max(message) FROM leg_movements), 0))",
        [],
        |row| row.get(0),
    )?;
    // A place below 1 was never given out: the first range takes in whatever is there.
    let mut first = i64::MIN;
    let mut last = RANGE.min(newest);
    loop {
        proof.read_range(connection, first, last)?;
        if last >= newest {
            break;
        }
        first = last + 1;
        last = last.saturating_add(RANGE).min(newest);
    }
    proof.compare_wallets(connection)?;
    proof.look_for_orphans(connection)?;
    Ok(proof.verdict())
}

/// One invariant, being examined.
#[derive(Default)]
struct Check {
    examined: u64,
    broken: u64,
    told: Vec<String>,
}

impl Check {
    fn that(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.examined += 1;
        if !holds {
            self.broken += 1;
            if self.told.len() < TOLD_MAX {
                self.told.push(otherwise());
            }
        }
    }
}

#[derive(Default)]
struct Proof {
    balance: Check,
    wallets: Check,
    legs: Check,
    evidence: Check,
    outcomes: Check,
    modes: Check,
    events: Check,
    prices: Check,
    entries: u64,
    messages: u64,
    /// Statuses of messages up to this one are kept no longer.
    statuses_forgotten: i64,
    /// Currency of each organization.
    organizations: HashMap<i64, String>,
    /// Sum of each account of a wallet, credits minus debits.
    accounts: BTreeMap<(i64, i64), [i128; 7]>,
    /// What open messages hold, by wallet: base, Meta.
    open_holds: HashMap<(i64, i64), [i128; 2]>,
    /// What was captured late, by wallet.
    late: HashMap<(i64, i64), i128>,
}

/// What the journal says of one leg.
#[derive(Clone, Copy, Default)]
struct LegSums {
    holds: u32,
    held: i128,
    captures: u32,
    captured: i128,
    releases: u32,
    released: i128,
    lates: u32,
    late: i128,
    refunds: u32,
    refunded: i128,
}

impl Proof {
    fn read_organizations(&mut self, connection: &Connection) -> Result<(), Failure> {
        let mut statement = connection.prepare_cached("SELECT id, currency FROM organizations")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.organizations.insert(row.get(0)?, row.get(1)?);
        }
        Ok(())
    }

    fn read_range(&mut self, connection: &Connection, first: i64, last: i64) -> Result<(), Failure> {
        let legs = self.read_entries(connection, first, last)?;
        self.read_messages(connection, first, last, &legs)
    }

    /// Every entry of these places: balanced by itself, and added to its accounts.
    fn read_entries(&mut self, connection: &Connection, first: i64, last: i64) -> Result<HashMap<i64, [LegSums; 2]>, Failure> {
        let mut legs: HashMap<i64, [LegSums; 2]> = HashMap::new();
        let mut statement = connection.prepare_cached(
            "SELECT sequence, organization, mode, message, leg, kind, debit, credit, amount
             FROM journal
             WHERE place BETWEEN ?1 AND ?2",
        )?;
        let mut rows = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            self.entries += 1;
            let sequence: i64 = row.get(0)?;
            let (organization, mode): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
            let account = |column: usize| -> Result<Option<usize>, Failure> {
                let name = row.get_ref(column)?.as_str_or_null().unwrap_or(None);
                Ok(name.and_then(|name| ACCOUNTS.iter().position(|known| *known == name)))
            };
            let (debit, credit) = (account(6)?, account(7)?);
            let amount: i64 = row.get(8)?;
            let owner = organization.filter(|organization| self.organizations.contains_key(organization)).zip(mode);
            let balanced = amount > 0 && debit.is_some() && credit.is_some() && debit != credit && owner.is_some();
            self.balance.that(balanced, || format!("entry {sequence} is no balanced entry of an organization"));
            if let Some(owner) = owner {
                // A side without an account is left out here too, so that the currency's sum tells on it.
                let sums = self.accounts.entry(owner).or_default();
                if let Some(debit) = debit {
                    sums[debit] -= i128::from(amount);
                }
                if let Some(credit) = credit {
                    sums[credit] += i128::from(amount);
                }
            }
            let (Some(message), Some(leg)) = (row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?) else { continue };
            let sums = &mut legs.entry(message).or_default()[usize::from(leg == 2)];
            let kind = row.get_ref(5)?.as_str_or_null().unwrap_or(None).unwrap_or("");
            let (count, sum) = match kind {
                "hold" => (&mut sums.holds, &mut sums.held),
                "capture" => (&mut sums.captures, &mut sums.captured),
                "release" => (&mut sums.releases, &mut sums.released),
                "late_capture" => (&mut sums.lates, &mut sums.late),
                "refund" => (&mut sums.refunds, &mut sums.refunded),
                _ => continue,
            };
            *count += 1;
            *sum += i128::from(amount);
            if kind == "late_capture"
                && let Some(owner) = owner
            {
                *self.late.entry(owner).or_default() += i128::from(amount);
            }
        }
        Ok(legs)
    }

    /// Every message of these places, against what the journal says of its legs.
    fn read_messages(&mut self, connection: &Connection, first: i64, last: i64, legs: &HashMap<i64, [LegSums; 2]>) -> Result<(), Failure> {
        let mut statement = connection.prepare_cached(
            "SELECT m.key, m.organization, m.mode, m.base, m.meta, m.kind = 12 AS read_mark, k.mode AS key_mode,
                    p.base, p.meta, p.card,
                    o.kind, o.wamid IS NOT NULL, o.base_captured, o.base_released, o.meta_released,
                    r.resolution, r.base_captured, r.base_released, r.meta_released, u.message IS NOT NULL,
                    (SELECT count(*) FROM leg_movements l WHERE l.message = m.key AND l.movement IN (2, 4)),
                    (SELECT count(*) FROM leg_movements l WHERE l.message = m.key AND l.reason = ''),
                    r.evidence,
                    (SELECT count(*) FROM leg_movements l WHERE l.message = m.key AND l.leg = 2 AND l.reason GLOB '*(status *)'),
                    (SELECT count(*) FROM leg_movements l WHERE l.message = m.key AND l.leg = 1 AND l.reason GLOB '*(status *)'),
                    (SELECT count(*) FROM message_statuses s WHERE s.message = m.key),
                    (SELECT count(*) FROM message_statuses s WHERE s.message = m.key AND s.settles = 1)
             FROM messages m
             LEFT JOIN api_keys k ON k.id = m.api_key
             LEFT JOIN pinned_prices p ON p.id = m.price
             LEFT JOIN outcomes o ON o.message = m.key
             LEFT JOIN resolutions r ON r.message = m.key
             LEFT JOIN open_unknowns u ON u.message = m.key
             WHERE m.key BETWEEN ?1 AND ?2",
        )?;
        let mut rows = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            self.messages += 1;
            let key: i64 = row.get(0)?;
            let (organization, mode): (i64, i64) = (row.get(1)?, row.get(2)?);
            let hold: [i64; 2] = [row.get(3)?, row.get(4)?];
            let sums = legs.get(&key).copied().unwrap_or_default();

            // I3, leg by leg.
            for (name, hold, leg) in [("base", hold[0], sums[0]), ("Meta", hold[1], sums[1])] {
                self.legs.that(leg_is_sound(i128::from(hold), &leg), || format!("message {key}: its {name} leg does not add up"));
            }
            let open = |leg: &LegSums| if leg.captures + leg.releases == 0 { leg.held } else { 0 };
            let holds = self.open_holds.entry((organization, mode)).or_default();
            holds[0] += open(&sums[0]);
            holds[1] += open(&sums[1]);

            // I10: the price.
            let pinned: [Option<i64>; 2] = [row.get(7)?, row.get(8)?];
            let card: Option<String> = row.get(9)?;
            let priced = match pinned {
                [Some(base), Some(meta)] => mode == 2 || [base, meta] == hold,
                _ => false,
            };
            self.prices.that(priced && card.is_some_and(|card| !card.is_empty()), || {
                format!("message {key} holds {hold:?}, its pinned price says {pinned:?}")
            });

            // I8: modes.
            let key_mode: Option<i64> = row.get(6)?;
            let fake_is_free =
                mode != 2 || (hold == [0, 0] && sums[0].holds + sums[1].holds == 0 && sums[0].captures + sums[1].captures == 0);
            let own_wallet = (0..=2).contains(&mode) && (mode == 2 || key_mode.is_none_or(|key_mode| key_mode == mode));
            self.modes.that(fake_is_free && own_wallet, || format!("message {key} of mode {mode} touches money that is not its mode's"));

            self.check_outcome(row, key, mode, hold)?;
        }
        Ok(())
    }

    /// I4 and I7 of one message.
    fn check_outcome(&mut self, row: &rusqlite::Row<'_>, key: i64, mode: i64, hold: [i64; 2]) -> Result<(), Failure> {
        const ACCEPTED: i64 = 1;
        const UNKNOWN: i64 = 5;
        let read_mark: bool = row.get(5)?;
        let outcome: Option<i64> = row.get(10)?;
        let has_wamid: Option<bool> = row.get(11)?;
        let by_outcome: [i64; 3] = [row.get::<_, Option<i64>>(12)?, row.get(13)?, row.get(14)?].map(|amount| amount.unwrap_or(0));
        let resolution: Option<i64> = row.get(15)?;
        let by_resolution: [i64; 3] = [row.get::<_, Option<i64>>(16)?, row.get(17)?, row.get(18)?].map(|amount| amount.unwrap_or(0));
        let open_unknown: bool = row.get(19)?;
        let (late_evidence, without_reason): (i64, i64) = (row.get(20)?, row.get(21)?);

        let by_status: Option<i64> = row.get(22)?;
        let (meta_by_status, base_by_status): (i64, i64) = (row.get(23)?, row.get(24)?);
        let (statuses, settling): (i64, i64) = (row.get(25)?, row.get(26)?);

        let needs_wamid = mode != 2 && !read_mark;
        let accepted = outcome == Some(ACCEPTED) && (!needs_wamid || has_wamid == Some(true));
        let resolved_as_sent = matches!(resolution, Some(1 | 2));
        let outcome_capture_is_proved = by_outcome[0] == 0 || accepted;
        let resolution_capture_is_proved = by_resolution[0] == 0 || (outcome == Some(UNKNOWN) && resolved_as_sent);
        // A later capture is of a message that has its end; its own reason is the evidence.
        let later_is_proved =
            (late_evidence == 0 || (outcome.is_some() && (outcome != Some(UNKNOWN) || resolution.is_some()))) && without_reason == 0;
        // What Meta reported is kept for a while only; what it settled stands.
        let reported = key <= self.statuses_forgotten
            || ((meta_by_status == 0 || settling > 0) && (base_by_status == 0 && by_status != Some(2) || statuses > 0));
        self.evidence.that(outcome_capture_is_proved && resolution_capture_is_proved && later_is_proved && reported, || {
            format!("message {key} has a capture without evidence")
        });

        let [base, meta] = hold;
        let follows = match outcome {
            None => by_outcome == [0; 3] && resolution.is_none(),
            Some(ACCEPTED) => by_outcome == [base, 0, 0] && resolution.is_none() && (!needs_wamid || has_wamid == Some(true)),
            Some(2..=4) => by_outcome == [0, base, meta] && resolution.is_none(),
            Some(UNKNOWN) => {
                let expected = match resolution {
                    None => [0, 0, 0],
                    Some(1) => [base, 0, 0],
                    Some(2) => [base, 0, meta],
                    Some(3 | 4) => [0, base, meta],
                    Some(_) => [-1; 3],
                };
                by_outcome == [0; 3] && by_resolution == expected
            }
            Some(_) => false,
        };
        let listed_as_open = open_unknown == (outcome == Some(UNKNOWN) && resolution.is_none());
        self.outcomes.that(follows && listed_as_open, || {
            format!("message {key}: outcome {outcome:?} and resolution {resolution:?} do not agree with what moved")
        });
        Ok(())
    }

    /// I2, and the sums of I1 and I10.
    fn compare_wallets(&mut self, connection: &Connection) -> Result<(), Failure> {
        let mut stored = HashMap::new();
        let mut statement = connection.prepare_cached("SELECT organization, mode, posted, held_base, held_meta FROM wallets")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let balance: [i64; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
            stored.insert((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?), balance.map(i128::from));
        }
        for organization in self.organizations.keys() {
            for mode in [0, 1] {
                self.wallets.that(stored.contains_key(&(*organization, mode)), || {
                    format!("organization {organization} has no wallet of mode {mode}")
                });
            }
        }
        let nothing = [0; 7];
        for (owner, [posted, held_base, held_meta]) in &stored {
            let [wallet, base, meta, ..] = *self.accounts.get(owner).unwrap_or(&nothing);
            let said = [posted - held_base - held_meta, *held_base, *held_meta];
            self.wallets.that([wallet, base, meta] == said, || {
                format!("wallet {owner:?} says available, held base and held Meta are {said:?}, its entries say {:?}", [wallet, base, meta])
            });
            let open = self.open_holds.get(owner).copied().unwrap_or_default();
            self.wallets.that(open == [*held_base, *held_meta] && base >= 0 && meta >= 0, || {
                format!("wallet {owner:?} holds {held_base} and {held_meta}, its open messages {open:?}")
            });
            let late = self.late.get(owner).copied().unwrap_or(0);
            self.wallets.that(wallet >= -late, || format!("wallet {owner:?} is overdrawn to {wallet}, and late captures explain {late}"));
        }
        let mut by_currency: BTreeMap<(&str, i64), i128> = BTreeMap::new();
        for (owner, sums) in &self.accounts {
            self.wallets.that(stored.contains_key(owner), || format!("entries of {owner:?} belong to no wallet"));
            let currency = self.organizations.get(&owner.0).map_or("", String::as_str);
            *by_currency.entry((currency, owner.1)).or_default() += sums.iter().sum::<i128>();
            self.prices
                .that(sums.iter().all(|sum| i64::try_from(*sum).is_ok()), || format!("an account of {owner:?} does not fit 64 bits"));
        }
        for (currency, sum) in by_currency {
            self.balance.that(sum == 0, || format!("{currency:?} sums to {sum}"));
        }
        Ok(())
    }

    /// Rows that belong to no message, which the walk over messages cannot meet.
    fn look_for_orphans(&mut self, connection: &Connection) -> Result<(), Failure> {
        let orphans = [
            ("an outcome", "SELECT message FROM outcomes EXCEPT SELECT key FROM messages LIMIT 5"),
            ("a resolution", "SELECT message FROM resolutions EXCEPT SELECT message FROM outcomes LIMIT 5"),
            ("a movement", "SELECT message FROM leg_movements EXCEPT SELECT key FROM messages LIMIT 5"),
            ("an open unknown", "SELECT message FROM open_unknowns EXCEPT SELECT message FROM outcomes WHERE kind = 5 LIMIT 5"),
        ];
        for (what, sql) in orphans {
            let mut statement = connection.prepare(sql)?;
            let found: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            self.outcomes.that(found.is_empty(), || format!("{what} belongs to no message: {found:?}"));
        }
        let orphans = [
            ("a delivery", "SELECT key FROM deliveries d WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.key = d.key / 16) LIMIT 5"),
            (
                "an attempt",
                "SELECT delivery FROM delivery_attempts a WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.key = a.delivery) LIMIT 5",
            ),
            (
                "what waits for a price",
                "SELECT message FROM unpriced u
                 WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.key = u.message AND m.meta > 0)
                    OR EXISTS (SELECT 1 FROM leg_movements l WHERE l.message = u.message AND l.leg = 2 AND l.movement <> 3) LIMIT 5",
            ),
        ];
        for (what, sql) in orphans {
            let mut statement = connection.prepare(sql)?;
            let found: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            self.events.that(found.is_empty(), || format!("{what} belongs to nothing that is open: {found:?}"));
        }
        let odd: i64 = connection.query_row(
            "SELECT (SELECT count(*) FROM wallet_movements WHERE mode NOT IN (0, 1)) + (SELECT count(*) FROM wallets WHERE mode NOT IN (0, 1))",
            [],
            |row| row.get(0),
        )?;
        self.modes.that(odd == 0, || format!("{odd} wallet rows are neither live nor sandbox"));
        Ok(())
    }

    fn verdict(self) -> Verification {
        let found = [self.balance, self.wallets, self.legs, self.evidence, self.outcomes, self.modes, self.events, self.prices];
        let checks: Vec<InvariantCheck> = CLAIMS
            .iter()
            .zip(found)
            .map(|((id, claim), check)| InvariantCheck {
                id,
                claim,
                holds: check.broken == 0,
                examined: check.examined,
                violations: check.told,
            })
            .collect();
        let clean = checks.iter().all(|check| check.holds);
        Verification { checks, entries: self.entries, messages: self.messages, clean }
    }
}

/// Whether what the journal says of a leg can be what happened to one hold.
fn leg_is_sound(hold: i128, leg: &LegSums) -> bool {
    let once = leg.holds <= 1 && leg.captures <= 1 && leg.releases <= 1 && leg.lates <= 1 && leg.refunds <= 1;
    let held = leg.held == hold;
    let resolved = match (leg.captures, leg.releases) {
        (0, 0) => true,
        _ => leg.captured + leg.released == leg.held && leg.captured <= leg.held,
    };
    // Proof of a send after its release, or a dearer category after its capture.
    let late_follows = leg.lates == 0 || leg.captures + leg.releases > 0;
    let refund_follows_capture = leg.refunds == 0 || leg.refunded == leg.captured + leg.late;
    once && held && resolved && late_follows && refund_follows_capture
}
