//! Tests of the scheduler: order, turns, lanes, limits.

use hashbrown::HashSet;
use turnpike_domain::ids::ApplicationId;
use turnpike_domain::send::Mode;
use turnpike_domain::webhook::EventKind;
use turnpike_store::events::EventKey;
use uuid::Uuid;

use super::*;

const NOW: UnixMs = UnixMs(1_000_000);

fn bounds() -> Bounds {
    Bounds { endpoint: 8, tenant: 32, total: 512, quantum: 8, retry_percent: 30, line_held_ms: 300_000 }
}

fn due(endpoint: i64, number: i64, user: u8) -> Due {
    Due {
        key: DeliveryKey(number),
        event: EventKey(number),
        event_id: Uuid::from_u128(1),
        endpoint: EndpointId(endpoint),
        organization: OrganizationId(endpoint),
        application: ApplicationId(1),
        mode: Mode::Live,
        kind: EventKind::Messages,
        message: None,
        user: (user > 0).then_some([user; 16]),
        at: NOW,
        attempts: 0,
        body: None,
    }
}

/// A scheduler that knows endpoints, each of the organization of the same number but as told.
fn scheduler(bounds: Bounds, endpoints: &[(i64, i64)], is_ordered: bool) -> Scheduler {
    let mut scheduler = Scheduler::new(bounds);
    for (endpoint, organization) in endpoints {
        scheduler.know(EndpointId(*endpoint), OrganizationId(*organization), is_ordered);
    }
    scheduler
}

fn begin_all(scheduler: &mut Scheduler) -> Vec<(Lane, Due)> {
    std::iter::from_fn(|| scheduler.next(|_| true)).collect()
}

fn keys(begun: &[(Lane, Due)]) -> Vec<i64> {
    begun.iter().map(|(_, due)| due.key.0).collect()
}

#[test]
fn a_users_first_attempts_go_one_after_the_other_in_order_and_others_do_not_wait() {
    let mut scheduler = scheduler(bounds(), &[(1, 1)], false);
    scheduler.add(EndpointId(1), Lane::First, vec![due(1, 1, 1), due(1, 2, 1), due(1, 3, 2), due(1, 4, 1), due(1, 5, 0)]);
    let mut begun = begin_all(&mut scheduler);
    assert_eq!(keys(&begun), [1, 3, 5]);
    let mut of_the_first = vec![1];
    for _ in 0..2 {
        let (lane, first) = begun.remove(0);
        // That it failed does not hold the others.
        assert_eq!(scheduler.ended(lane, &first, Ended::Failed, NOW), None);
        begun.insert(0, scheduler.next(|_| true).expect("the next of the line"));
        of_the_first.push(begun[0].1.key.0);
        assert!(scheduler.next(|_| true).is_none());
    }
    assert_eq!(of_the_first, [1, 2, 4]);
}

#[test]
fn an_ordered_line_waits_for_its_failed_event_and_no_longer_than_five_minutes() {
    for is_delivered in [true, false] {
        let mut scheduler = scheduler(bounds(), &[(1, 1)], true);
        scheduler.add(EndpointId(1), Lane::First, vec![due(1, 1, 1), due(1, 2, 1), due(1, 3, 2)]);
        let begun = begin_all(&mut scheduler);
        assert_eq!(keys(&begun), [1, 3]);
        let until = scheduler.ended(Lane::First, &begun[0].1, Ended::Failed, NOW).expect("the line is held");
        assert_eq!(until, NOW.plus_ms(300_000));
        assert!(scheduler.next(|_| true).is_none(), "the second waits for the first");
        scheduler.add(EndpointId(1), Lane::First, vec![due(1, 4, 1)]);
        assert!(scheduler.next(|_| true).is_none(), "and so does what comes later");
        if is_delivered {
            scheduler.add(EndpointId(1), Lane::Retry, vec![due(1, 1, 1)]);
            let (lane, retried) = scheduler.next(|_| true).expect("the retry");
            assert_eq!((lane, retried.key), (Lane::Retry, DeliveryKey(1)));
            scheduler.ended(lane, &retried, Ended::Delivered, NOW);
        } else {
            scheduler.release_lines(EndpointId(1), until.plus_ms(-1));
            assert!(scheduler.next(|_| true).is_none());
            scheduler.release_lines(EndpointId(1), until);
        }
        let (_, second) = scheduler.next(|_| true).expect("the line goes on");
        assert_eq!(second.key, DeliveryKey(2));
        assert!(scheduler.next(|_| true).is_none());
        scheduler.ended(Lane::First, &second, Ended::Delivered, NOW);
        assert_eq!(scheduler.next(|_| true).expect("and on").1.key, DeliveryKey(4));
    }
}

#[test]
fn a_line_waits_for_all_that_failed_before_its_endpoint_was_ordered_and_for_none_once_it_is_no_more() {
    for is_switched_off in [false, true] {
        let mut scheduler = scheduler(bounds(), &[(1, 1)], true);
        let until = NOW.plus_ms(300_000);
        scheduler.hold(EndpointId(1), [1; 16], DeliveryKey(1), until);
        scheduler.hold(EndpointId(1), [1; 16], DeliveryKey(2), until);
        scheduler.add(EndpointId(1), Lane::First, vec![due(1, 3, 1), due(1, 4, 1)]);
        assert!(scheduler.next(|_| true).is_none());
        if is_switched_off {
            scheduler.know(EndpointId(1), OrganizationId(1), false);
        } else {
            scheduler.add(EndpointId(1), Lane::Retry, vec![due(1, 2, 1), due(1, 1, 1)]);
            for (lane, retried) in begin_all(&mut scheduler) {
                assert!(scheduler.next(|_| true).is_none(), "one still fails");
                scheduler.ended(lane, &retried, Ended::Delivered, NOW);
            }
        }
        let (_, third) = scheduler.next(|_| true).expect("the line goes on");
        assert_eq!(third.key, DeliveryKey(3));
        assert!(scheduler.next(|_| true).is_none());
        scheduler.ended(Lane::First, &third, Ended::Delivered, NOW);
        assert_eq!(scheduler.next(|_| true).expect("and on").1.key, DeliveryKey(4));
    }
}

#[test]
fn limits_hold_for_endpoint_tenant_and_all_and_a_freed_place_is_used() {
    let small = Bounds { endpoint: 2, tenant: 3, total: 5, ..bounds() };
    let mut scheduler = scheduler(small, &[(1, 1), (2, 1), (3, 3), (4, 4)], false);
    for endpoint in 1..=4 {
        scheduler.add(EndpointId(endpoint), Lane::First, (0..10).map(|number| due(endpoint, endpoint * 100 + number, 0)).collect());
    }
    let begun = begin_all(&mut scheduler);
    let of = |endpoint: i64| begun.iter().filter(|(_, due)| due.endpoint == EndpointId(endpoint)).count();
    assert_eq!(begun.len(), 5);
    assert!((1..=4).all(|endpoint| of(endpoint) <= 2) && of(1) + of(2) <= 3);
    let mut seen: HashSet<i64> = keys(&begun).into_iter().collect();
    let mut under_way: VecDeque<_> = begun.into();
    while let Some((lane, ended)) = under_way.pop_front() {
        scheduler.ended(lane, &ended, Ended::Delivered, NOW);
        for begun in begin_all(&mut scheduler) {
            assert!(seen.insert(begun.1.key.0), "each once");
            under_way.push_back(begun);
        }
        assert!(scheduler.in_flight() <= 5);
    }
    assert_eq!((seen.len(), scheduler.in_flight()), (40, 0), "nothing is left behind");
}

#[test]
fn a_tenant_with_little_is_not_kept_waiting_by_one_with_much() {
    let mut scheduler = scheduler(Bounds { total: 64, tenant: 64, endpoint: 64, ..bounds() }, &[(1, 1), (2, 2)], false);
    scheduler.add(EndpointId(1), Lane::First, (0..10_000).map(|number| due(1, number, 0)).collect());
    scheduler.add(EndpointId(2), Lane::First, vec![due(2, 20_000, 0)]);
    let place = (0..64).find(|_| scheduler.next(|_| true).is_some_and(|(_, due)| due.endpoint == EndpointId(2)));
    assert_eq!(place, Some(8), "after the first one's quantum");
}

#[test]
fn retries_and_first_attempts_have_their_shares_where_both_wait_and_all_where_not() {
    let mut both = scheduler(Bounds { endpoint: 10, ..bounds() }, &[(1, 1)], false);
    both.add(EndpointId(1), Lane::Retry, (0..50).map(|number| due(1, number, 0)).collect());
    assert_eq!(begin_all(&mut both).len(), 10, "alone they have all of it");

    let mut both = scheduler(Bounds { endpoint: 10, ..bounds() }, &[(1, 1)], false);
    both.add(EndpointId(1), Lane::Retry, (0..50).map(|number| due(1, number, 0)).collect());
    both.add(EndpointId(1), Lane::First, (100..150).map(|number| due(1, number, 0)).collect());
    let begun = begin_all(&mut both);
    let retries = begun.iter().filter(|(lane, _)| *lane == Lane::Retry).count();
    assert_eq!((begun.len() - retries, retries), (7, 3));
}

#[test]
fn what_is_given_back_comes_again_and_lines_under_way_keep_their_order() {
    let mut scheduler = scheduler(bounds(), &[(1, 1)], false);
    scheduler.add(EndpointId(1), Lane::First, vec![due(1, 1, 1), due(1, 2, 1), due(1, 3, 2), due(1, 4, 2)]);
    let (lane, first) = scheduler.next(|_| true).expect("the first");
    let mut drained: Vec<i64> = scheduler.drain(EndpointId(1)).iter().map(|due| due.key.0).collect();
    drained.sort_unstable();
    assert_eq!(drained, [2, 3, 4]);
    assert!(scheduler.next(|_| true).is_none());
    scheduler.add(EndpointId(1), Lane::First, vec![due(1, 2, 1), due(1, 3, 2), due(1, 4, 2)]);
    assert_eq!(keys(&begin_all(&mut scheduler)), [3], "the first user's line is still busy");
    scheduler.ended(lane, &first, Ended::Delivered, NOW);
    assert_eq!(keys(&begin_all(&mut scheduler)), [2]);
}

#[test]
fn an_endpoint_that_is_not_allowed_keeps_nobody_waiting_and_begins_when_touched() {
    let mut scheduler = scheduler(bounds(), &[(1, 1), (2, 1)], false);
    scheduler.add(EndpointId(1), Lane::First, vec![due(1, 1, 0)]);
    scheduler.add(EndpointId(2), Lane::First, vec![due(2, 2, 0)]);
    let begun = scheduler.next(|endpoint| endpoint == EndpointId(2)).expect("the other");
    assert_eq!(begun.1.key, DeliveryKey(2));
    assert!(scheduler.next(|endpoint| endpoint == EndpointId(2)).is_none());
    assert!(scheduler.next(|_| true).is_none(), "it stepped back");
    scheduler.touch(EndpointId(1));
    assert_eq!(scheduler.next(|_| true).expect("touched").1.key, DeliveryKey(1));
}

#[test]
fn an_endpoint_that_may_have_less_under_way_has_less_and_at_least_one() {
    let mut scheduler = scheduler(bounds(), &[(1, 1)], false);
    scheduler.add(EndpointId(1), Lane::First, (0..50).map(|number| due(1, number, 0)).collect());
    scheduler.set_limit(EndpointId(1), 0);
    let begun = begin_all(&mut scheduler);
    assert_eq!(begun.len(), 1);
    scheduler.set_limit(EndpointId(1), 100);
    scheduler.ended(begun[0].0, &begun[0].1, Ended::Delivered, NOW);
    assert_eq!(begin_all(&mut scheduler).len(), 8);
}
