//! Settling: whatever order statuses come in, there is one final state and one settlement.

use proptest::prelude::*;

use super::*;
use crate::webhook::status::PricingType;

const BASE: Micros = Micros(1_000);
const META: Micros = Micros(50_000);

/// A message whose evidence is gathered as a store would do it.
#[derive(Clone)]
struct Story {
    standing: Standing,
    /// Every movement of the Meta leg after the hold.
    moves: Vec<Move>,
}

impl Story {
    fn new(outcome: Option<OutcomeKind>, resolution: Option<Resolution>, held_meta: Micros) -> Story {
        let hold = |amount| LegState::None.apply(Movement::Hold, amount).expect("a hold");
        let mut legs = [hold(BASE), if held_meta == Micros::ZERO { LegState::None } else { hold(held_meta) }];
        for (leg, state) in Leg::ALL.into_iter().zip(&mut legs) {
            let movements = [outcome.and_then(|outcome| outcome.movement(leg)), resolution.and_then(|resolution| resolution.movement(leg))];
            for movement in movements.into_iter().flatten() {
                if let Ok(after) = state.apply(movement, state.held()) {
                    *state = after;
                }
            }
        }
        let [base, meta] = legs;
        let standing = Standing { mode: Mode::Live, outcome, resolution, base, meta, held_base: BASE, held_meta, known: Vec::new() };
        Story { standing, moves: Vec::new() }
    }

    /// Reports one status, as a store does: what a repeat adds nothing to is not heard again. A
    /// movement that cannot follow fails the test.
    fn hear(&mut self, report: &Report) {
        if let Some(place) = self.standing.known.iter().position(|known| known.status == report.status) {
            let known = &self.standing.known[place];
            let adds = match (report.moves_operator_fee, known.moves_operator_fee) {
                (true, false) => true,
                (false, true) => false,
                _ => report.tells_more_than(known, self.standing.held_meta),
            };
            if !adds {
                return;
            }
            self.standing.known.remove(place);
        }
        let decision = decide(&self.standing, report);
        if let Some(proof) = decision.proof {
            self.standing.base = after_proof(self.standing.base, proof, Leg::Base);
            self.standing.meta = after_proof(self.standing.meta, proof, Leg::Meta);
            match proof {
                Proof::Outcome(outcome) => self.standing.outcome = Some(outcome),
                Proof::Resolution(resolution) => self.standing.resolution = Some(resolution),
            }
        }
        for step in decision.moves {
            let leg = if step.leg == Leg::Base { &mut self.standing.base } else { &mut self.standing.meta };
            *leg = leg.apply(step.movement, step.amount).expect("a decided movement follows from where the leg stands");
            self.moves.push(step);
        }
        self.standing.known.push(report.clone());
    }

    fn hear_all<'r>(mut self, reports: impl IntoIterator<Item = &'r Report>) -> Story {
        reports.into_iter().for_each(|report| self.hear(report));
        self
    }

    /// What both legs took in the end: where nothing else decides, time does.
    fn taken_in_the_end(&self) -> (Micros, Micros) {
        let meta = self.standing.meta;
        let is_due = matches!(meta, LegState::Held(_)) || waits_for_a_price(meta, &self.standing.known);
        let delivered = self.standing.known.iter().any(|known| known.moves_operator_fee && is_delivery(known.status));
        let step = if is_due { decide_overdue(meta, delivered) } else { None };
        let meta = step.map_or(meta, |step| meta.apply(step.movement, step.amount).expect("time's movement follows"));
        (self.standing.base.taken(), meta.taken())
    }

    fn legs(&self) -> (LegState, LegState) {
        (self.standing.base, self.standing.meta)
    }

    fn state(&self) -> MessageState {
        state(self.standing.outcome, self.standing.resolution, self.standing.known.iter().map(|known| known.status))
    }
}

fn accepted() -> Story {
    Story::new(Some(OutcomeKind::Accepted), None, META)
}

fn presumed_not_sent() -> Story {
    Story::new(Some(OutcomeKind::Unknown), Some(Resolution::PresumedNotSent), META)
}

fn plain(status: StatusKind) -> Report {
    Report { status, pricing: None, repriced: None, moves_operator_fee: true }
}

fn priced(status: StatusKind, kind: PricingType) -> Report {
    Report { pricing: Some(Pricing { kind: Some(kind), billable: None, category: None }), ..plain(status) }
}

fn regular(status: StatusKind) -> Report {
    priced(status, PricingType::Regular)
}

fn repriced(status: StatusKind, fee: i64) -> Report {
    Report { repriced: Some(Micros(fee)), ..regular(status) }
}

fn permutations<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in of.iter().enumerate() {
        let mut rest = of.to_vec();
        rest.remove(index);
        all.extend(permutations(&rest).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
    }
    all
}

use StatusKind::{Delivered, Failed, Played, Read, Sent};

/// Where a message can stand when its statuses come.
fn beginnings() -> [Story; 5] {
    [
        Story::new(None, None, META),
        accepted(),
        Story::new(Some(OutcomeKind::Unknown), None, META),
        Story::new(Some(OutcomeKind::Unknown), Some(Resolution::Accepted), META),
        presumed_not_sent(),
    ]
}

#[test]
fn every_order_of_every_set_of_statuses_gives_one_state_and_one_amount() {
    let prices = [None, Some(PricingType::Regular), Some(PricingType::FreeCustomerService)];
    let mut runs = 0;
    for beginning in beginnings() {
        for price in prices {
            // Meta names the price on `sent` and on one of the others (meta-cloud-api §5.5).
            let report = |status| match (status, price) {
                (Sent | Delivered, Some(kind)) => priced(status, kind),
                _ => plain(status),
            };
            let statuses = [Sent, Delivered, Read, Played, Failed];
            for set in 1..1_u8 << statuses.len() {
                let reports: Vec<Report> =
                    statuses.into_iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, status)| report(status)).collect();
                let mut ends = Vec::new();
                for order in permutations(&reports) {
                    for repeated in [Vec::new(), order.clone(), order.iter().rev().cloned().collect()] {
                        // Each at once again, then all of them again.
                        let doubled = order.iter().flat_map(|report| [report, report]);
                        let story = beginning.clone().hear_all(doubled.chain(&repeated));
                        runs += 1;
                        assert_eq!(story.standing.base.taken(), BASE, "it was sent, in every order");
                        for leg in Leg::ALL {
                            let count = |movement| story.moves.iter().filter(|step| (step.leg, step.movement) == (leg, movement)).count();
                            let (kept, late) = (count(Movement::Capture) + count(Movement::Release), count(Movement::LateCapture));
                            assert!(kept <= 1 && late <= 1, "{:?}", story.moves);
                        }
                        ends.push((story.state(), story.taken_in_the_end()));
                    }
                }
                assert!(ends.iter().all(|end| *end == ends[0]), "one state and one amount: {price:?} {reports:?} {ends:?}");
                let delivered = reports.iter().any(|report| is_delivery(report.status));
                let priced = reports.iter().any(|report| report.pricing.is_some());
                let charged = delivered && !(priced && price == Some(PricingType::FreeCustomerService));
                assert_eq!(ends[0].1.1, if charged { META } else { Micros::ZERO }, "{price:?} {reports:?}");
            }
        }
    }
    assert!(runs > 10_000, "{runs}");
}

#[test]
fn a_chargeable_delivery_captures_and_a_free_one_releases() {
    for (reports, meta) in [
        (vec![plain(Sent)], LegState::Held(META)),
        (vec![regular(Sent)], LegState::Held(META)),
        (vec![plain(Delivered)], LegState::Held(META)),
        (vec![plain(Read), plain(Played)], LegState::Held(META)),
        (vec![regular(Sent), plain(Delivered)], LegState::Captured(META)),
        (vec![plain(Delivered), regular(Sent)], LegState::Captured(META)),
        (vec![regular(Read)], LegState::Captured(META)),
        (vec![priced(Sent, PricingType::FreeCustomerService), plain(Played)], LegState::Released(META)),
        (vec![priced(Delivered, PricingType::FreeEntryPoint)], LegState::Released(META)),
        (vec![priced(Delivered, PricingType::Other)], LegState::Released(META)),
        (vec![plain(Failed)], LegState::Released(META)),
        (vec![regular(Sent), regular(Failed)], LegState::Released(META)),
        // What a phone reported stands above a failure, whichever came first.
        (vec![regular(Delivered), plain(Failed)], LegState::Captured(META)),
        (vec![plain(Failed), regular(Delivered)], LegState::LateCaptured(META)),
        (vec![plain(Failed), plain(Delivered), regular(Sent)], LegState::LateCaptured(META)),
        (vec![plain(Delivered), plain(Failed)], LegState::Held(META)),
        (vec![plain(Failed), priced(Delivered, PricingType::FreeCustomerService)], LegState::Released(META)),
        // Charged by any of its statuses is charged, whichever came first.
        (vec![priced(Delivered, PricingType::FreeCustomerService), regular(Read)], LegState::LateCaptured(META)),
        (vec![regular(Delivered), priced(Read, PricingType::FreeCustomerService)], LegState::Captured(META)),
    ] {
        let story = accepted().hear_all(&reports);
        assert_eq!(story.legs(), (LegState::Captured(BASE), meta), "{reports:?}");
    }
}

#[test]
fn only_billable_decides_where_the_type_is_missing() {
    for (billable, meta) in [(true, LegState::Captured(META)), (false, LegState::Released(META))] {
        let pricing = Pricing { kind: None, billable: Some(billable), category: None };
        let report = Report { pricing: Some(pricing), ..plain(Delivered) };
        assert_eq!(accepted().hear_all([&report]).standing.meta, meta);
    }
}

#[test]
fn any_status_proves_a_send_that_was_in_flight_or_unknown() {
    for status in [Sent, Delivered, Read, Played, Failed] {
        let flying = decide(&Story::new(None, None, META).standing, &plain(status));
        assert_eq!(flying.proof, Some(Proof::Outcome(OutcomeKind::Accepted)));
        let unknown = decide(&Story::new(Some(OutcomeKind::Unknown), None, META).standing, &plain(status));
        let expected = if status == Failed { Resolution::Failed } else { Resolution::Accepted };
        assert_eq!(unknown.proof, Some(Proof::Resolution(expected)));
        assert_eq!(decide(&accepted().standing, &plain(status)).proof, None);
    }
    let failed = Story::new(None, None, META).hear_all([&plain(Failed)]);
    assert_eq!(failed.legs(), (LegState::Captured(BASE), LegState::Released(META)));
    let unknown = Story::new(Some(OutcomeKind::Unknown), None, META).hear_all([&regular(Delivered)]);
    assert_eq!(unknown.legs(), (LegState::Captured(BASE), LegState::Captured(META)));
}

#[test]
fn proof_of_a_send_whose_holds_were_given_back_is_taken_late_and_once() {
    let reports = [plain(Sent), regular(Delivered), regular(Read), plain(Sent)];
    let story = presumed_not_sent().hear_all(&reports);
    assert_eq!(story.legs(), (LegState::LateCaptured(BASE), LegState::LateCaptured(META)));
    assert_eq!(story.state(), MessageState::Read);
    let story = presumed_not_sent().hear_all([&plain(Failed), &plain(Failed)]);
    assert_eq!(story.legs(), (LegState::LateCaptured(BASE), LegState::Released(META)));
    let story = presumed_not_sent().hear_all([&priced(Delivered, PricingType::FreeCustomerService)]);
    assert_eq!(story.legs(), (LegState::LateCaptured(BASE), LegState::Released(META)));
    // In a dearer category than was held.
    let story = presumed_not_sent().hear_all([&repriced(Delivered, 80_000)]);
    assert_eq!(story.standing.meta, LegState::LateCaptured(Micros(80_000)));
    // "No byte left" and Meta's own no were wrong, too, where a phone says so.
    for outcome in [OutcomeKind::NotSent, OutcomeKind::Refused, OutcomeKind::RefusedRetryable] {
        let story = Story::new(Some(outcome), None, META).hear_all([&regular(Delivered)]);
        assert_eq!(story.legs(), (LegState::LateCaptured(BASE), LegState::LateCaptured(META)));
        assert_eq!(story.state(), MessageState::Delivered);
    }
    // After Meta's no, a failure says nothing new.
    let story = Story::new(Some(OutcomeKind::Refused), None, META).hear_all([&plain(Failed)]);
    assert_eq!((story.legs(), story.state()), ((LegState::Released(BASE), LegState::Released(META)), MessageState::Refused));
}

#[test]
fn the_category_that_meta_names_decides_the_fee() {
    let capture = |amount| (Movement::Capture, Micros(amount));
    let late = |amount| (Movement::LateCapture, Micros(amount));
    for (reports, meta, moves) in [
        (vec![repriced(Delivered, 20_000)], LegState::Captured(Micros(20_000)), vec![capture(20_000)]),
        (vec![repriced(Delivered, 80_000)], LegState::LateCaptured(Micros(80_000)), vec![capture(50_000), late(30_000)]),
        (vec![repriced(Sent, 80_000), plain(Read)], LegState::LateCaptured(Micros(80_000)), vec![capture(50_000), late(30_000)]),
        // Named after the settlement: the difference, once.
        (
            vec![regular(Delivered), repriced(Read, 80_000), repriced(Played, 90_000)],
            LegState::LateCaptured(Micros(80_000)),
            vec![capture(50_000), late(30_000)],
        ),
        (vec![regular(Delivered), repriced(Read, 20_000)], LegState::Captured(META), vec![capture(50_000)]),
        // Free stays free, whatever it would have cost.
        (
            vec![Report { repriced: Some(Micros(80_000)), ..priced(Delivered, PricingType::FreeCustomerService) }],
            LegState::Released(META),
            vec![(Movement::Release, META)],
        ),
    ] {
        let story = accepted().hear_all(&reports);
        assert_eq!(story.standing.meta, meta, "{reports:?}");
        assert_eq!(story.moves.iter().map(|step| (step.movement, step.amount)).collect::<Vec<_>>(), moves);
    }
}

#[test]
fn a_category_named_anew_costs_the_same_in_every_order_also_beside_a_failure() {
    for (fee, taken) in [(20_000, Micros(20_000)), (80_000, Micros(80_000))] {
        let reports = [repriced(Sent, fee), repriced(Delivered, fee), plain(Read), plain(Failed)];
        for order in permutations(&reports) {
            let story = accepted().hear_all(order.iter().flat_map(|report| [report, report]));
            assert_eq!(story.taken_in_the_end(), (BASE, taken), "{order:?}");
        }
    }
    // Two categories: the dearest, by one late capture.
    for order in permutations(&[repriced(Sent, 20_000), repriced(Delivered, 80_000), plain(Read)]) {
        assert_eq!(accepted().hear_all(&order).taken_in_the_end().1, Micros(80_000), "{order:?}");
    }
}

#[test]
fn a_repeat_that_says_more_of_the_price_counts_whichever_came_first() {
    let free = priced(Delivered, PricingType::FreeCustomerService);
    let tellings = [plain(Delivered), free, regular(Delivered), repriced(Delivered, 80_000)];
    for (place, less) in tellings.iter().enumerate() {
        for more in &tellings[place..] {
            assert!(!less.tells_more_than(more, META), "{less:?} {more:?}");
            assert_eq!(more.tells_more_than(less, META), more != less);
            let (one, other) = (accepted().hear_all([less, more]), accepted().hear_all([more, less]));
            assert_eq!(one.taken_in_the_end(), other.taken_in_the_end(), "{less:?} {more:?}");
        }
    }
}

#[test]
fn where_meta_bills_the_customer_nothing_happens_to_its_leg() {
    for beginning in [Some(OutcomeKind::Accepted), None, Some(OutcomeKind::Unknown)] {
        let reports = [regular(Sent), repriced(Delivered, 80_000), plain(Failed)];
        let story = Story::new(beginning, None, Micros::ZERO).hear_all(&reports);
        assert_eq!(story.legs(), (LegState::Captured(BASE), LegState::None));
    }
}

#[test]
fn a_customers_own_secret_never_moves_an_operators_fee() {
    let by_customer = |report: Report| Report { moves_operator_fee: false, ..report };
    for beginning in beginnings() {
        let meta = beginning.standing.meta;
        let story = beginning.hear_all(&[by_customer(regular(Sent)), by_customer(regular(Delivered)), by_customer(plain(Failed))]);
        assert_eq!(story.standing.meta, meta);
        assert_eq!(story.standing.base.taken(), BASE, "what it proves, it proves of its own money");
    }
    // Not a failure that resolves an unknown outcome either.
    let story = Story::new(Some(OutcomeKind::Unknown), None, META).hear_all([&by_customer(plain(Failed))]);
    assert_eq!((story.standing.meta, story.state()), (LegState::Held(META), MessageState::Failed));
    // Nor together with what the operator's app says: only that counts.
    let story = accepted().hear_all(&[by_customer(regular(Delivered)), regular(Sent)]);
    assert_eq!(story.standing.meta, LegState::Held(META));
    let story = accepted().hear_all(&[by_customer(plain(Failed)), regular(Delivered)]);
    assert_eq!(story.standing.meta, LegState::Captured(META));
}

#[test]
fn sandbox_settles_alike_and_a_fake_never() {
    for (mode, meta) in [(Mode::Sandbox, LegState::Captured(META)), (Mode::Fake, LegState::Held(META))] {
        let mut story = accepted();
        story.standing.mode = mode;
        assert_eq!(story.hear_all([&regular(Delivered)]).standing.meta, meta);
    }
    let mut fake = Story::new(None, None, META);
    fake.standing.mode = Mode::Fake;
    assert_eq!(decide(&fake.standing, &plain(Sent)), Decision::default());
}

#[test]
fn what_nothing_decided_in_time_is_captured_where_it_was_delivered_and_else_released() {
    let overdue = |reports: &[Report]| {
        let standing = accepted().hear_all(reports).standing;
        decide_overdue(standing.meta, waits_for_a_price(standing.meta, &standing.known)).map(|step| step.movement)
    };
    assert_eq!(overdue(&[]), Some(Movement::Release));
    assert_eq!(overdue(&[plain(Sent)]), Some(Movement::Release));
    assert_eq!(overdue(&[plain(Delivered)]), Some(Movement::Capture));
    assert_eq!(overdue(&[plain(Delivered), plain(Failed)]), Some(Movement::Capture));
    assert_eq!(overdue(&[plain(Failed), plain(Delivered)]), Some(Movement::LateCapture), "the same in the other order");
    assert_eq!(overdue(&[plain(Failed)]), None, "given back");
    assert_eq!(overdue(&[regular(Delivered)]), None, "settled");
    assert_eq!(overdue(&[Report { moves_operator_fee: false, ..plain(Delivered) }]), Some(Movement::Release));
    // What was released for want of a status is taken late when one comes.
    let mut story = accepted();
    let step = decide_overdue(story.standing.meta, false).expect("a release");
    story.standing.meta = story.standing.meta.apply(step.movement, step.amount).expect("of a hold");
    assert_eq!(story.hear_all([&regular(Delivered)]).standing.meta, LegState::LateCaptured(META));
}

#[test]
fn a_message_stands_where_its_furthest_evidence_says() {
    let check = |outcome, resolution, statuses: &[StatusKind], expected| {
        assert_eq!(state(outcome, resolution, statuses.iter().copied()), expected, "{outcome:?} {resolution:?} {statuses:?}");
    };
    let accepted = Some(OutcomeKind::Accepted);
    let unknown = Some(OutcomeKind::Unknown);
    check(None, None, &[], MessageState::Admitted);
    check(accepted, None, &[], MessageState::Accepted);
    check(Some(OutcomeKind::Refused), None, &[], MessageState::Refused);
    check(Some(OutcomeKind::RefusedRetryable), None, &[], MessageState::Refused);
    check(Some(OutcomeKind::NotSent), None, &[], MessageState::Refused);
    check(unknown, None, &[], MessageState::Unknown);
    check(unknown, Some(Resolution::Accepted), &[], MessageState::Accepted);
    check(unknown, Some(Resolution::Failed), &[], MessageState::Failed);
    check(unknown, Some(Resolution::Refused), &[], MessageState::Refused);
    check(unknown, Some(Resolution::PresumedNotSent), &[], MessageState::PresumedNotSent);
    check(unknown, Some(Resolution::PresumedNotSent), &[Sent], MessageState::Sent);
    check(None, None, &[Sent], MessageState::Sent);
    check(accepted, None, &[Read, Sent, Delivered], MessageState::Read);
    check(accepted, None, &[Played, Read], MessageState::Played);
    check(accepted, None, &[Sent, Failed], MessageState::Failed);
    check(accepted, None, &[Failed, Delivered], MessageState::Delivered);
    check(Some(OutcomeKind::NotSent), None, &[Failed], MessageState::Failed);
}

fn any_report() -> impl Strategy<Value = Report> {
    let pricing = proptest::option::of((proptest::option::of(proptest::sample::select(PricingType::ALL)), any::<Option<bool>>()));
    let fee = proptest::option::of(0..200_000i64);
    (proptest::sample::select(StatusKind::ALL), pricing, fee, any::<bool>()).prop_map(|(status, pricing, fee, moves_operator_fee)| Report {
        status,
        pricing: pricing.map(|(kind, billable)| Pricing { kind, billable, category: None }),
        repriced: fee.map(Micros),
        moves_operator_fee,
    })
}

proptest! {
    #[test]
    fn no_evidence_takes_more_than_the_dearest_price_or_resolves_a_leg_twice(
        beginning in 0..5usize,
        reports in proptest::collection::vec(any_report(), 0..12),
    ) {
        let start = beginnings()[beginning].clone();
        let held = start.standing.held_meta;
        let story = start.hear_all(&reports);
        let dearest = reports.iter().filter_map(|report| report.repriced).chain([held]).max().expect("a hold");
        prop_assert!(story.standing.base.taken() <= BASE && story.standing.meta.taken() <= dearest);
        for leg in Leg::ALL {
            let count = |movement| story.moves.iter().filter(|step| step.leg == leg && step.movement == movement).count();
            prop_assert!(count(Movement::Capture) + count(Movement::Release) <= 1 && count(Movement::LateCapture) <= 1);
        }
        // Told again, nothing changes.
        let settled = story.legs();
        prop_assert_eq!(story.clone().hear_all(&reports).legs(), settled);
    }
}
