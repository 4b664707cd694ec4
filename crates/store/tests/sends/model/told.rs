//! Statuses in the model: found by their token, first of their kind or not, and what the rules of the
//! domain make of them on top of everything that happened before.

use turnpike_domain::ids::{ApplicationId, AttemptToken, MessageKey};
use turnpike_domain::ledger::LegState;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::settle::{self, Proof, Report};
use turnpike_domain::webhook::{EventKind, Pricing, PricingType, StatusKind};
use turnpike_store::Store;
use turnpike_store::events::{Intake, NewEvent, Recorded, StatusEffect, StatusReport};
use turnpike_store::messages::{Evidence, Outcome, Resolve, Settled};

use super::{Model, Run, cipher};
use crate::house::hash;

impl Model {
    /// What a status that is this message's does; whether it is the first of its kind, whether it
    /// resolves, and where the legs stand after it.
    pub(super) fn report(&mut self, key: MessageKey, report: &Report, at: UnixMs) -> (bool, bool, [LegState; 2]) {
        let message = self.messages.get_mut(&key).expect("a known message");
        let same = message.reports.iter().position(|known| known.status == report.status);
        if let Some(place) = same {
            let known = &message.reports[place];
            let adds = if known.moves_operator_fee == report.moves_operator_fee {
                report.tells_more_than(known, message.held[1])
            } else {
                report.moves_operator_fee
            };
            if !adds {
                return (false, false, message.legs);
            }
            message.reports.remove(place);
        }
        let standing = settle::Standing {
            mode: message.mode,
            outcome: message.outcome.map(|(outcome, _)| outcome),
            resolution: message.resolution.map(|(resolution, _)| resolution),
            base: message.legs[0],
            meta: message.legs[1],
            held_base: message.held[0],
            held_meta: message.held[1],
            known: message.reports.clone(),
        };
        message.reports.push(report.clone());
        let organization = message.organization;
        let wamid = Some(hash("wamid", key.0.unsigned_abs()));
        let decision = settle::decide(&standing, report);
        let mut resolves = false;
        match decision.proof {
            None => {}
            Some(Proof::Outcome(kind)) => {
                let outcome = Outcome { organization, message: key, at, kind, meta_code: None, wamid, answer: Vec::new() };
                assert_eq!(self.settle(&outcome), Settled::Done);
            }
            Some(Proof::Resolution(resolution)) => {
                resolves = true;
                let (evidence, reason, answer) = (Evidence::Status, String::new(), Vec::new());
                let resolve = Resolve { organization, message: key, at, resolution, evidence, reason, wamid, answer };
                assert_eq!(self.resolve(&resolve), Settled::Done);
            }
        }
        for step in decision.moves {
            // A leg that cannot make the movement any more stays as it is.
            let _moved = self.apply(key, step.leg, step.movement, step.amount);
        }
        (same.is_none(), resolves, self.messages[&key].legs)
    }
}

impl Run {
    /// Statuses, in any order, twice, before the answer, of nobody.
    pub(super) async fn tell(&mut self, store: &dyn Store, count: u64) {
        let mut events = Vec::new();
        for _ in 0..count {
            let message = self.any_message();
            let organization = self.owner_of(message);
            let known = self.model.messages.get(&message);
            let (application, mode) =
                known.map_or((ApplicationId(self.owners[0].0 * 10), Mode::Live), |known| (known.application, known.mode));
            self.fresh += 1;
            events.push(NewEvent {
                organization,
                application,
                mode,
                kind: EventKind::MessageStatus,
                identity: hash("identity", self.fresh),
                at: self.now,
                user: None,
                aliases: Vec::new(),
                note: None,
                status: Some(self.status(message)),
                body: b"body".to_vec(),
                endpoints: Vec::new(),
                notice: None,
            });
        }
        self.done += count;
        let intake = Intake { received_at: self.now, raw: None, events: events.clone(), quarantine: Vec::new() };
        let answers = store.record(intake).await.expect("the store answers");
        for (event, answer) in events.iter().zip(answers) {
            self.compare_told(event, answer);
        }
        let messages = &self.model.messages;
        self.model.in_flight.retain(|key| messages[key].outcome.is_none());
        self.model.unknown.retain(|key| messages[key].is_open_unknown());
    }

    fn status(&mut self, message: MessageKey) -> StatusReport {
        let salt = if self.chance.one_in(20) { [4; 12] } else { [3; 12] };
        let pricing =
            self.chance.of(&[None, None, Some(PricingType::Regular), Some(PricingType::Regular), Some(PricingType::FreeEntryPoint)]);
        StatusReport {
            token: Some(AttemptToken { key: message, attempt: 1, category: None, has_callback_data: false, salt }),
            wamid: hash("wamid", message.0.unsigned_abs()),
            answer: b"told".to_vec(),
            status: self.chance.of(StatusKind::ALL),
            at: self.now,
            pricing: pricing.map(|kind| Pricing { kind: Some(kind), ..Pricing::default() }),
            failure: None,
            moves_operator_fee: !self.chance.one_in(8),
            repriced: self.chance.of(&[None, None, None, Some(Micros(500)), Some(Micros(95_000))]),
        }
    }

    fn compare_told(&mut self, event: &NewEvent, answer: Recorded) {
        let said = event.status.as_ref().expect("a status");
        let token = said.token.expect("a token");
        if event.application.0 / 10 != event.organization.0 {
            assert_eq!(answer, Recorded::NotFound, "seed {}: {event:?}", self.seed);
            return;
        }
        let ours = self.model.messages.get(&token.key).is_some_and(|known| known.mode != Mode::Fake) && token.salt == [3; 12];
        let (effect, first) = if ours {
            let report = Report {
                status: said.status,
                pricing: said.pricing.clone(),
                repriced: said.repriced,
                moves_operator_fee: said.moves_operator_fee,
            };
            let (first, resolved, [base, meta]) = self.model.report(token.key, &report, self.now);
            let id = cipher().message_id(self.model.messages[&token.key].at, token.key);
            (StatusEffect { message: Some((token.key, id)), resolved, legs: Some((base, meta)) }, first)
        } else {
            (StatusEffect { message: None, resolved: false, legs: None }, true)
        };
        match answer {
            Recorded::New { status, .. } => assert_eq!((status, true), (Some(effect), first), "seed {}: {event:?}", self.seed),
            Recorded::Duplicate => assert!(!first, "seed {}: {event:?}", self.seed),
            Recorded::NotFound | Recorded::Broken { .. } => panic!("seed {}: {event:?}: {answer:?}", self.seed),
        }
    }
}
