//! The store against a plain model of it: the same operations, the same answers, a million times.
//!
//! The model is as simple as it can be: every message in a map, every rule a sentence of the
//! contract, nothing forgotten, no index, no file. Operations are chosen by a seeded generator, so
//! that a failure names the seed that brings it back; the store is ended and opened again in the
//! middle many times, time jumps by hours, and at the end the ledger proves itself.

mod known;
mod told;

use std::collections::{BTreeMap, HashMap};

use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::ledger::{Balance, Leg, LegState, Movement, NotMoved, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{DAY_MS, UnixMs, UtcDay};
use turnpike_store::Store;
use turnpike_store::ledger::{LegMoved, MoveLeg, WalletMoved, WalletMovement};
use turnpike_store::messages::{Admission, Admit, CountsIn, Evidence, Hash16, MessageRecord, Outcome, Recalled, Resolve, Settled};
use turnpike_store::sqlite::Tuning;
use uuid::Uuid;

use self::known::Known;
use crate::chance::Chance;
use crate::house::{House, START, hash, movement, organization, text};

/// Operations of each of the four runs below: together more than a million.
const OPERATIONS: u64 = 260_000;

/// Everything that the store should know.
#[derive(Default)]
struct Model {
    wallets: HashMap<(OrganizationId, Mode), Balance>,
    messages: BTreeMap<MessageKey, Known>,
    in_flight: Vec<MessageKey>,
    unknown: Vec<MessageKey>,
    under_key: HashMap<Hash16, Vec<MessageKey>>,
    without_key: HashMap<(ApplicationId, Mode, Hash16), Vec<MessageKey>>,
    movements: BTreeMap<Uuid, (OrganizationId, Mode, WalletMovement, Micros)>,
    usage: BTreeMap<(UtcDay, ApiKeyId), (u32, i64)>,
}

impl Model {
    fn wallet(&mut self, organization: OrganizationId, mode: Mode) -> &mut Balance {
        self.wallets.entry((organization, mode)).or_default()
    }

    /// What admitting must answer; `None` is `New`.
    fn refuses(&mut self, new: &Admit) -> Option<Admission> {
        let holder = new.idempotency.and_then(|hash| self.under_key.get(&hash)?.last().copied());
        if let Some(key) = holder
            && let message = &self.messages[&key]
            && message.keeps_its_key(new.at)
        {
            return Some(match message.outcome {
                _ if message.fingerprint != new.fingerprint => Admission::KeyReused,
                None => Admission::InFlight { key },
                Some(_) => Admission::Replayed { key },
            });
        }
        if let Some(since) = new.likely_repeat_since {
            let equal = self.without_key.get(&(new.application, new.mode, new.fingerprint)).into_iter().flatten();
            let repeated = equal.copied().filter(|key| {
                let message = &self.messages[key];
                message.is_open_unknown() && message.at > since
            });
            if let Some(key) = repeated.max() {
                return Some(Admission::LikelyRepeat { key, id: cipher().message_id(self.messages[&key].at, key) });
            }
        }
        let payer = if new.mode == Mode::Fake { Mode::Live } else { new.mode };
        let available = self.wallet(new.organization, payer).available();
        (new.price.base.0 + new.price.meta.0 > available.0).then_some(Admission::InsufficientFunds { available })
    }

    fn admit(&mut self, key: MessageKey, new: &Admit) {
        let (base, meta) = if new.mode == Mode::Fake { (0, 0) } else { (new.price.base.0, new.price.meta.0) };
        if new.mode != Mode::Fake {
            let wallet = self.wallet(new.organization, new.mode);
            wallet.held_base.0 += base;
            wallet.held_meta.0 += meta;
        }
        if let Some(days) = new.counts_in {
            self.usage.entry((days.message, new.api_key)).or_default().0 += 1;
            self.usage.entry((days.spend, new.api_key)).or_default().1 += base + meta;
        }
        let leg = |amount| if amount == 0 { LegState::None } else { LegState::Held(Micros(amount)) };
        let known = Known {
            organization: new.organization,
            application: new.application,
            mode: new.mode,
            at: new.at,
            fingerprint: new.fingerprint,
            idempotency: new.idempotency,
            legs: [leg(base), leg(meta)],
            held: [Micros(base), Micros(meta)],
            outcome: None,
            resolution: None,
            reports: Vec::new(),
            wamid: None,
        };
        match new.idempotency {
            Some(hash) => self.under_key.entry(hash).or_default().push(key),
            None => self.without_key.entry((new.application, new.mode, new.fingerprint)).or_default().push(key),
        }
        self.messages.insert(key, known);
        self.in_flight.push(key);
    }

    /// Moves a leg and its wallet, where the domain says that it follows.
    fn apply(&mut self, key: MessageKey, leg: Leg, movement: Movement, amount: Micros) -> Result<LegState, NotMoved> {
        let message = self.messages.get_mut(&key).expect("a known message");
        let state = &mut message.legs[usize::from(leg == Leg::Meta)];
        let before = *state;
        let after = before.apply(movement, amount)?;
        *state = after;
        let owner = (message.organization, message.mode);
        let wallet = self.wallets.get_mut(&owner).expect("a known wallet");
        let hold = if leg == Leg::Base { &mut wallet.held_base } else { &mut wallet.held_meta };
        hold.0 -= before.held().0;
        wallet.posted.0 -= after.taken().0 - before.taken().0;
        Ok(after)
    }

    fn settle(&mut self, outcome: &Outcome) -> Settled {
        let Some(message) = self.messages.get(&outcome.message).filter(|message| message.organization == outcome.organization) else {
            return Settled::NotFound;
        };
        if let Some((kind, _)) = message.outcome {
            return Settled::Already { outcome: kind, resolution: message.resolution.map(|(resolution, _)| resolution) };
        }
        for (leg, state) in Leg::ALL.into_iter().zip(message.legs) {
            if let (Some(movement), LegState::Held(held)) = (outcome.kind.movement(leg), state) {
                self.apply(outcome.message, leg, movement, held).expect("a hold is captured or released");
            }
        }
        let message = self.messages.get_mut(&outcome.message).expect("known");
        message.outcome = Some((outcome.kind, outcome.at));
        message.wamid = outcome.wamid;
        if outcome.kind == OutcomeKind::Unknown {
            self.unknown.push(outcome.message);
        }
        Settled::Done
    }

    fn resolve(&mut self, resolve: &Resolve) -> Settled {
        let Some(message) = self.messages.get(&resolve.message).filter(|message| message.organization == resolve.organization) else {
            return Settled::NotFound;
        };
        if let (Some((outcome, _)), Some((resolution, _))) = (message.outcome, message.resolution) {
            return Settled::Already { outcome, resolution: Some(resolution) };
        }
        if !message.is_open_unknown() {
            return Settled::NotUnknown;
        }
        for (leg, state) in Leg::ALL.into_iter().zip(message.legs) {
            if let (Some(movement), LegState::Held(held)) = (resolve.resolution.movement(leg), state) {
                self.apply(resolve.message, leg, movement, held).expect("a hold is captured or released");
            }
        }
        let message = self.messages.get_mut(&resolve.message).expect("known");
        message.resolution = Some((resolve.resolution, resolve.at));
        message.wamid = resolve.wamid;
        Settled::Done
    }

    fn move_leg(&mut self, asked: &MoveLeg) -> LegMoved {
        let Some(message) = self.messages.get(&asked.message).filter(|message| message.organization == asked.organization) else {
            return LegMoved::NotFound;
        };
        if message.outcome.is_none() || message.is_open_unknown() || asked.movement == Movement::Hold {
            return LegMoved::Not(NotMoved::Impossible(message_leg(message, asked.leg)));
        }
        // Only Meta makes a message dearer than it was held for.
        if asked.movement == Movement::LateCapture
            && let captured @ LegState::Captured(_) = message_leg(message, asked.leg)
        {
            return LegMoved::Not(NotMoved::Already(captured));
        }
        match self.apply(asked.message, asked.leg, asked.movement, asked.amount) {
            Ok(after) => LegMoved::Done(after),
            Err(not) => LegMoved::Not(not),
        }
    }

    /// What a start makes of what was in flight.
    fn crash(&mut self, now: UnixMs) -> (u64, u64) {
        let (mut unknown, mut fakes) = (0, 0);
        for key in std::mem::take(&mut self.in_flight) {
            let message = self.messages.get_mut(&key).expect("known");
            if message.outcome.is_some() {
                continue;
            }
            if message.mode == Mode::Fake {
                message.outcome = Some((OutcomeKind::NotSent, now));
                fakes += 1;
            } else {
                message.outcome = Some((OutcomeKind::Unknown, now));
                self.unknown.push(key);
                unknown += 1;
            }
        }
        (unknown, fakes)
    }
}

fn message_leg(message: &Known, leg: Leg) -> LegState {
    message.legs[usize::from(leg == Leg::Meta)]
}

fn cipher() -> MessageCipher {
    MessageCipher::new(&[9; 32])
}

/// One run: what happens, to the store and to the model.
struct Run {
    seed: u64,
    chance: Chance,
    model: Model,
    owners: Vec<OrganizationId>,
    now: UnixMs,
    fresh: u64,
    done: u64,
}

impl Run {
    fn tuning(&self) -> Tuning {
        // Segments small enough that keys live in every part of the index.
        Tuning { segment_entries: 700, ..Tuning::default() }
    }

    fn any_message(&mut self) -> MessageKey {
        let Some((last, _)) = self.model.messages.last_key_value() else { return MessageKey(1) };
        // Mostly the recent ones; a few that are not there.
        let back = if self.chance.one_in(3) { self.chance.below(last.0.unsigned_abs() + 3) } else { self.chance.below(400) };
        MessageKey(last.0 + 2 - i64::try_from(back).expect("small"))
    }

    fn owner_of(&mut self, message: MessageKey) -> OrganizationId {
        let owner = self.model.messages.get(&message).map(|message| message.organization);
        if self.chance.one_in(40) { self.chance.of(&self.owners) } else { owner.unwrap_or(self.owners[0]) }
    }

    fn new_message(&mut self) -> Admit {
        let owner = self.chance.of(&self.owners);
        let mut new = text(owner, self.chance.below(3));
        new.at = self.now;
        // An application belongs to one organization, as its keys do.
        new.application = ApplicationId(owner.0 * 10 + i64::from(self.chance.one_in(2)));
        new.api_key = ApiKeyId(new.application.0);
        new.mode = self.chance.of(&[Mode::Live, Mode::Live, Mode::Live, Mode::Sandbox, Mode::Fake]);
        let (base, meta) = self.chance.of(&[(1_000, 3_400), (1_000, 0), (0, 25_000), (0, 0), (1_000, 90_000)]);
        (new.price.base, new.price.meta, new.price.meta_reported) = (Micros(base), Micros(meta), Micros(meta));
        // Sometimes just after a midnight that came between the limits and the commit.
        let late = |chance: &mut Chance| if chance.one_in(4) { UtcDay(new.at.day().0 - 1) } else { new.at.day() };
        new.counts_in = self.chance.one_in(3).then(|| CountsIn { message: late(&mut self.chance), spend: new.at.day() });
        new.content = b"sealed".to_vec();
        match self.chance.below(10) {
            0..5 => {
                self.fresh += 1;
                new.idempotency = Some(hash("fresh", self.fresh));
            }
            5..8 => {
                new.idempotency = Some(hash(
                    "pool",
                    (new.application.0.unsigned_abs() * 3 + u64::from(new.mode.number())) * 1_000 + self.chance.below(60),
                ))
            }
            8 => new.likely_repeat_since = Some(self.now.plus_ms(-600_000)),
            _ => {}
        }
        new
    }

    async fn admit(&mut self, store: &dyn Store, count: u64) {
        let batch: Vec<Admit> = (0..count).map(|_| self.new_message()).collect();
        let answers = store.admit(batch.clone()).await.expect("the store answers");
        assert_eq!(answers.len(), batch.len());
        for (new, answer) in batch.iter().zip(answers) {
            match self.model.refuses(new) {
                Some(refusal) => assert_eq!(answer, refusal, "seed {}: {new:?}", self.seed),
                None => {
                    let Admission::New { key, id } = answer else { panic!("seed {}: {answer:?} for {new:?}", self.seed) };
                    assert!(self.model.messages.last_key_value().is_none_or(|(last, _)| key > *last), "seed {}", self.seed);
                    assert_eq!(id, cipher().message_id(new.at, key), "seed {}", self.seed);
                    self.model.admit(key, new);
                }
            }
        }
        self.done += count;
    }

    fn outcome(&mut self, message: MessageKey) -> Outcome {
        let kind = self.chance.of(&[
            OutcomeKind::Accepted,
            OutcomeKind::Accepted,
            OutcomeKind::Accepted,
            OutcomeKind::Refused,
            OutcomeKind::RefusedRetryable,
            OutcomeKind::NotSent,
            OutcomeKind::Unknown,
        ]);
        Outcome {
            organization: self.owner_of(message),
            message,
            at: self.now,
            kind,
            meta_code: None,
            wamid: (kind == OutcomeKind::Accepted).then(|| hash("wamid", message.0.unsigned_abs())),
            answer: b"answer".to_vec(),
        }
    }

    async fn settle(&mut self, store: &dyn Store, count: u64) {
        let mut batch = Vec::new();
        for _ in 0..count {
            let message = if self.chance.one_in(12) || self.model.in_flight.is_empty() {
                self.any_message()
            } else {
                let place = self.chance.below(self.model.in_flight.len() as u64);
                self.model.in_flight.swap_remove(usize::try_from(place).expect("a place in a vector"))
            };
            batch.push(self.outcome(message));
        }
        self.settle_these(store, batch).await;
    }

    async fn settle_these(&mut self, store: &dyn Store, batch: Vec<Outcome>) {
        self.done += batch.len() as u64;
        let answers = store.settle(batch.clone()).await.expect("the store answers");
        for (outcome, answer) in batch.iter().zip(answers) {
            assert_eq!(answer, self.model.settle(outcome), "seed {}: {outcome:?}", self.seed);
            if answer == Settled::NotFound && self.model.messages.contains_key(&outcome.message) {
                self.model.in_flight.push(outcome.message);
            }
        }
        // What another path settled is no longer in flight.
        let messages = &self.model.messages;
        self.model.in_flight.retain(|key| messages[key].outcome.is_none());
        self.model.in_flight.sort_unstable();
        self.model.in_flight.dedup();
    }

    async fn resolve(&mut self, store: &dyn Store, count: u64) {
        let mut batch = Vec::new();
        for _ in 0..count {
            let message = if self.chance.one_in(6) || self.model.unknown.is_empty() {
                self.any_message()
            } else {
                let place = self.chance.below(self.model.unknown.len() as u64);
                self.model.unknown[usize::try_from(place).expect("a place in a vector")]
            };
            let resolution = self.chance.of(&[Resolution::Accepted, Resolution::Failed, Resolution::Refused, Resolution::PresumedNotSent]);
            batch.push(Resolve {
                organization: self.owner_of(message),
                message,
                at: self.now,
                resolution,
                evidence: Evidence::Operator,
                reason: "seen".to_owned(),
                wamid: (resolution == Resolution::Accepted).then(|| hash("wamid", message.0.unsigned_abs())),
                answer: if self.chance.one_in(2) { b"resolved".to_vec() } else { Vec::new() },
            });
        }
        self.done += count;
        let answers = store.resolve(batch.clone()).await.expect("the store answers");
        for (resolve, answer) in batch.iter().zip(answers) {
            assert_eq!(answer, self.model.resolve(resolve), "seed {}: {resolve:?}", self.seed);
        }
        let messages = &self.model.messages;
        self.model.unknown.retain(|key| messages[key].is_open_unknown());
    }

    async fn move_legs(&mut self, store: &dyn Store, count: u64) {
        let mut batch = Vec::new();
        for _ in 0..count {
            let message = self.any_message();
            let hold = self.model.messages.get(&message).map_or(0, |message| message.legs[1].held().0);
            batch.push(MoveLeg {
                organization: self.owner_of(message),
                message,
                leg: self.chance.of(&[Leg::Base, Leg::Meta, Leg::Meta]),
                movement: self.chance.of(&[
                    Movement::Hold,
                    Movement::Capture,
                    Movement::Capture,
                    Movement::Release,
                    Movement::LateCapture,
                    Movement::Refund,
                ]),
                amount: Micros(self.chance.of(&[hold, hold, hold / 2, hold + 1, 1_000, 0])),
                reason: "status".to_owned(),
                at: self.now,
            });
        }
        self.done += count;
        let answers = store.move_legs(batch.clone()).await.expect("the store answers");
        for (asked, answer) in batch.iter().zip(answers) {
            assert_eq!(answer, self.model.move_leg(asked), "seed {}: {asked:?}", self.seed);
        }
    }

    async fn move_wallet(&mut self, store: &dyn Store) {
        let (owner, mode) = (self.chance.of(&self.owners), self.chance.of(&[Mode::Live, Mode::Sandbox]));
        let kind = self.chance.of(&[WalletMovement::TopUp, WalletMovement::TopUp, WalletMovement::Adjust]);
        let amount = Micros(match kind {
            WalletMovement::TopUp => 1 + i64::try_from(self.chance.below(20_000_000)).expect("small"),
            WalletMovement::Adjust => i64::try_from(self.chance.below(2_000_000)).expect("small") - 1_900_000,
        });
        // Some ids come again, and some orders as a whole.
        let id = Uuid::from_u128(u128::from(self.chance.below(1_000_000)));
        let earlier = self.model.movements.range(id..).next().map(|(id, order)| (*id, *order)).filter(|_| self.chance.below(10) == 0);
        let (id, (owner, mode, kind, amount)) = earlier.unwrap_or((id, (owner, mode, kind, amount)));
        let balance = *self.model.wallet(owner, mode);
        let after = Balance { posted: Micros(balance.posted.0 + amount.0), ..balance };
        let expected = if let Some(known) = self.model.movements.get(&id) {
            if *known == (owner, mode, kind, amount) { WalletMoved::Already(balance) } else { WalletMoved::Taken }
        } else if amount.is_negative() && after.available().is_negative() {
            WalletMoved::BelowZero(balance)
        } else {
            self.model.movements.insert(id, (owner, mode, kind, amount));
            *self.model.wallet(owner, mode) = after;
            WalletMoved::Done(after)
        };
        let answer = store.move_wallet(movement(id, owner, mode, kind, amount)).await.expect("the store answers");
        assert_eq!(answer, expected, "seed {}", self.seed);
        self.done += 1;
    }

    /// Looks at what readers see.
    async fn look(&mut self, store: &dyn Store) {
        for _ in 0..8 {
            let key = self.any_message();
            let owner = self.owner_of(key);
            let found = store.message(owner, key).await.expect("reads");
            let expected = self.model.messages.get(&key).filter(|message| message.organization == owner).cloned();
            assert_eq!(found.as_ref().map(seen), expected.as_ref().map(expected_record), "seed {}: {key}", self.seed);
            if let Some(wamid) = expected.as_ref().and_then(|message| message.wamid) {
                let by_wamid = store.messages_by_wamid(owner, wamid).await.expect("reads");
                assert_eq!(by_wamid.iter().map(|message| message.key).collect::<Vec<_>>(), [key], "seed {}", self.seed);
            }
            let asked = self.new_message();
            if let Some(idempotency) = expected.and_then(|message| message.idempotency).or(asked.idempotency) {
                self.look_under(store, idempotency, asked.fingerprint).await;
            }
        }
        for (owner, mode) in self.model.wallets.keys().copied().collect::<Vec<_>>() {
            let balance = store.balance(owner, mode).await.expect("answers").expect("exists");
            assert_eq!(balance, *self.model.wallet(owner, mode), "seed {}", self.seed);
        }
        for day in [self.now.day(), self.now.plus_ms(-DAY_MS).day()] {
            let found: BTreeMap<_, _> =
                store.day_usage(day).await.expect("reads").iter().map(|used| (used.api_key, (used.messages, used.spend.0))).collect();
            let of_day = self.model.usage.iter().filter(|((used, _), _)| *used == day);
            let expected: BTreeMap<_, _> = of_day.map(|((_, api_key), used)| (*api_key, *used)).collect();
            assert_eq!(found, expected, "seed {}", self.seed);
        }
        self.done += 16;
    }

    async fn look_under(&mut self, store: &dyn Store, idempotency: Hash16, fingerprint: Hash16) {
        let holder = self.model.under_key.get(&idempotency).and_then(|keys| keys.last()).copied();
        let kept = holder.filter(|key| self.model.messages[key].keeps_its_key(self.now));
        let (owner, application) = match holder.map(|key| &self.model.messages[&key]) {
            Some(message) => (message.organization, message.application),
            None => (self.owners[0], ApplicationId(10)),
        };
        assert!(kept.is_none() || store.may_know(&idempotency), "seed {}: a kept key was denied", self.seed);
        let answer = store.recall(owner, application, idempotency, Some(fingerprint), self.now).await.expect("reads");
        let expected = match kept.map(|key| (key, &self.model.messages[&key])) {
            None => "nothing".to_owned(),
            Some((_, message)) if message.fingerprint != fingerprint => "reused".to_owned(),
            Some((key, message)) if message.outcome.is_none() => format!("in flight {key}"),
            Some((key, _)) => format!("kept {key}"),
        };
        let answer = match answer {
            Recalled::Nothing => "nothing".to_owned(),
            Recalled::KeyReused => "reused".to_owned(),
            Recalled::InFlight(key) => format!("in flight {key}"),
            Recalled::Kept(record) => format!("kept {}", record.key),
        };
        assert_eq!(answer, expected, "seed {}", self.seed);
    }

    async fn end_and_begin(&mut self, house: House) -> House {
        let (house, recovery) = house.reopen_tuned(self.now, self.tuning());
        assert_eq!((recovery.unknown, recovery.fakes), self.model.crash(self.now), "seed {}", self.seed);
        house
    }

    /// Nothing flies for hours: what is in flight ends first.
    async fn jump(&mut self, store: &dyn Store) {
        let flying = std::mem::take(&mut self.model.in_flight);
        let mut batch: Vec<Outcome> = flying.into_iter().map(|message| self.outcome(message)).collect();
        for outcome in &mut batch {
            outcome.organization = self.model.messages[&outcome.message].organization;
        }
        self.settle_these(store, batch).await;
        self.now = self.now.plus_ms(i64::try_from(self.chance.below(14 * 3_600_000)).expect("small"));
    }
}

/// What can be compared of a record, seen through the seam and as the model has it.
type Seen = ([LegState; 2], Option<(OutcomeKind, UnixMs)>, Option<(Resolution, UnixMs)>, Hash16, Option<Hash16>, Mode, bool);

fn seen(record: &MessageRecord) -> Seen {
    (
        [record.base_leg, record.meta_leg],
        record.outcome,
        record.resolution.as_ref().map(|resolution| (resolution.resolution, resolution.at)),
        record.fingerprint,
        record.idempotency,
        record.mode,
        record.content.is_some(),
    )
}

fn expected_record(message: &Known) -> Seen {
    (message.legs, message.outcome, message.resolution, message.fingerprint, message.idempotency, message.mode, true)
}

async fn run(seed: u64) {
    let mut run = Run { seed, chance: Chance(seed), model: Model::default(), owners: Vec::new(), now: START, fresh: seed << 32, done: 0 };
    let mut house = House::tuned(run.tuning());
    for name in ["one", "two", "three"] {
        let owner = organization(&*house.store, name, Micros(0)).await;
        run.owners.push(owner);
        for application in [owner.0 * 10, owner.0 * 10 + 1] {
            house
                .database()
                .execute(
                    "INSERT INTO applications (id, organization, uuid, app_id, display_name, status, connection_type, timezone,
                                               meta_billing, enforce_window, body_retention_days, created_at, updated_at)
                     VALUES (?1, ?2, randomblob(16), ?1, 'a shop', 1, 1, 'UTC', 0, 0, 30, 1, 1)",
                    [application, owner.0],
                )
                .expect("an application");
        }
        run.model.wallet(owner, Mode::Live);
        run.model.wallet(owner, Mode::Sandbox);
    }
    while run.done < OPERATIONS {
        run.now = run.now.plus_ms(i64::try_from(run.chance.below(2_000)).expect("small"));
        let most = if run.chance.one_in(4) { 500 } else { 120 };
        let count = 1 + run.chance.below(most);
        match run.chance.below(200) {
            0 => house = run.end_and_begin(house).await,
            1..3 => run.jump(&*house.store).await,
            3..11 => run.look(&*house.store).await,
            11..27 => run.move_wallet(&*house.store).await,
            27..40 => run.resolve(&*house.store, count / 2 + 1).await,
            40..50 => run.move_legs(&*house.store, count).await,
            50..75 => run.tell(&*house.store, count).await,
            75..120 => run.settle(&*house.store, count).await,
            _ => run.admit(&*house.store, count).await,
        }
    }
    house = run.end_and_begin(house).await;
    run.look(&*house.store).await;
    house.assert_sound().await;
    let verification = house.store.verify().await.expect("verifies");
    assert_eq!(verification.messages, run.model.messages.len() as u64, "seed {seed}");
}

#[tokio::test]
async fn the_store_answers_as_the_model_does_first_seed() {
    run(0x7475_726e).await;
}

#[tokio::test]
async fn the_store_answers_as_the_model_does_second_seed() {
    run(0x7069_6b65).await;
}

#[tokio::test]
async fn the_store_answers_as_the_model_does_third_seed() {
    run(0x6c65_6467).await;
}

#[tokio::test]
async fn the_store_answers_as_the_model_does_fourth_seed() {
    run(0x6572_2121).await;
}
