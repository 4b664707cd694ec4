//! What is known of each connection, and the one broom that watches over all of them.
//!
//! A timer per connection, set anew for every request, would cost more than the rest of the front
//! door. So a connection only notes its phase and since when (two numbers, no clock read), and one
//! task looks over all connections a few times a second and cuts those whose phase has lasted too
//! long. A limit is therefore kept to within one tick, always on the caller's side.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::framing::{Foul, Referee};
use super::{ServerLimits, TrustedProxies};
use crate::request_id::RequestIds;

/// How finely the broom's time runs at most; the shortest limit divided by eight otherwise.
const TICK_MAX: Duration = Duration::from_millis(250);
const TICK_MIN: Duration = Duration::from_millis(2);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// In the TLS handshake.
    Handshake = 0,
    /// Connected, and silent so far.
    Silent = 1,
    /// Within a request's head.
    Head = 2,
    /// A handler works, or waits for the body, which has a limit of its own.
    Busy = 3,
    /// The answer is made and is being written; what limits it is whether the peer takes it.
    Answering = 4,
    /// Between two requests.
    Idle = 5,
    /// Answered and closed on our side, swallowing what the peer still sends.
    Lingering = 6,
}

impl Phase {
    fn from_low_bits(packed: u64) -> Phase {
        match packed & 7 {
            0 => Phase::Handshake,
            1 => Phase::Silent,
            2 => Phase::Head,
            3 => Phase::Busy,
            4 => Phase::Answering,
            5 => Phase::Idle,
            _ => Phase::Lingering,
        }
    }
}

/// No writing is held up.
const FLOWING: u64 = u64::MAX;

/// Orders of the broom to a connection; they only grow.
const CARRY_ON: u8 = 0;
const FINISH: u8 = 1;
const CUT: u8 = 2;

/// One connection, as its own task, its handlers and the broom see it.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    /// Phase in the low 3 bits, the broom's time of its beginning above.
    phase: AtomicU64,
    /// Since when the peer takes no more bytes, in the broom's time.
    held_up: AtomicU64,
    orders: AtomicU8,
    finish_since: AtomicU64,
    waker: AtomicWaker,
    multiplexed: AtomicBool,
    /// Requests begun, and (HTTP/2) under way.
    begun: AtomicU32,
    under_way: AtomicU32,
    streams: AtomicU32,
    /// The request whose body has not wholly come (0: none).
    within_body_of: AtomicU32,
    /// Which request broke a rule of framing (0: none), and which rule.
    foul_request: AtomicU32,
    foul: AtomicU8,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Line {
    fn new(shared: Arc<Shared>, phase: Phase) -> Line {
        let now = shared.now_ms.load(Ordering::Relaxed);
        Line {
            shared,
            phase: AtomicU64::new(now << 3 | phase as u64),
            held_up: AtomicU64::new(FLOWING),
            orders: AtomicU8::new(CARRY_ON),
            finish_since: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            multiplexed: AtomicBool::new(false),
            begun: AtomicU32::new(0),
            under_way: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            within_body_of: AtomicU32::new(0),
            foul_request: AtomicU32::new(0),
            foul: AtomicU8::new(0),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::from_low_bits(self.phase.load(Ordering::Relaxed))
    }

    /// Notes that a phase begins now.
    pub(super) fn enter(&self, phase: Phase) {
        let now = self.shared.now_ms.load(Ordering::Relaxed);
        self.phase.store(now << 3 | phase as u64, Ordering::Relaxed);
    }

    /// From now on the connection carries many requests at once (HTTP/2).
    pub(super) fn becomes_multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// A request begins; answers which of the connection it is, from 1.
    pub(super) fn request_began(&self) -> u32 {
        self.enter(Phase::Busy);
        if self.is_multiplexed() {
            self.under_way.fetch_add(1, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The request's answer is made, or nobody waits for it any more.
    pub(super) fn request_ended(&self) {
        if !self.is_multiplexed() {
            self.enter(Phase::Answering);
        } else if self.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.enter(Phase::Idle);
        }
    }

    pub(super) fn stream_began(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stream_ended(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
        if matches!(self.phase(), Phase::Answering | Phase::Idle) {
            self.enter(Phase::Idle);
        }
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 0
    }

    /// Takes over what the referee found after new bytes.
    pub(super) fn heard(&self, referee: &Referee) {
        self.within_body_of.store(referee.within_body_of(), Ordering::Relaxed);
        match self.phase() {
            Phase::Silent | Phase::Idle if referee.within_head() => self.enter(Phase::Head),
            _ => {}
        }
    }

    /// Bytes came on a connection whose framing nobody here follows (HTTP/2).
    pub(super) fn heard_frames(&self) {
        if self.phase() == Phase::Silent {
            self.enter(Phase::Idle);
        }
    }

    pub(super) fn report_foul(&self, request: u32, foul: Foul) {
        self.foul.store(foul as u8, Ordering::Relaxed);
        self.foul_request.store(request, Ordering::Relaxed);
    }

    pub(super) fn foul_of(&self, request: u32) -> Option<Foul> {
        if self.foul_request.load(Ordering::Relaxed) != request {
            return None;
        }
        Some(match self.foul.load(Ordering::Relaxed) {
            0 => Foul::TwoLengths,
            1 => Foul::LengthAndEncoding,
            2 => Foul::TwoEncodings,
            _ => Foul::NotALength,
        })
    }

    /// Whether the body of this request has not wholly come yet.
    pub(super) fn awaits_body_of(&self, request: u32) -> bool {
        self.within_body_of.load(Ordering::Relaxed) == request
    }

    /// Notes whether the peer takes what is written to it.
    pub(super) fn watch_write<T>(&self, outcome: Poll<T>) -> Poll<T> {
        let held_up = self.held_up.load(Ordering::Relaxed);
        if outcome.is_pending() {
            if held_up == FLOWING {
                self.held_up.store(self.shared.now_ms.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        } else if held_up != FLOWING {
            self.held_up.store(FLOWING, Ordering::Relaxed);
        }
        outcome
    }

    /// A whole answer went out: what follows is the next request.
    pub(super) fn answer_written(&self, within_next_head: bool) {
        if self.phase() == Phase::Answering && !self.is_streaming() {
            self.enter(if within_next_head { Phase::Head } else { Phase::Idle });
        }
    }

    fn order(&self, order: u8) {
        if self.orders.fetch_max(order, Ordering::AcqRel) < order {
            self.finish_since.store(self.shared.now_ms.load(Ordering::Relaxed), Ordering::Relaxed);
            self.waker.wake();
        }
    }

    /// Registers the connection's task to be woken for orders.
    pub(super) fn listen_for_orders(&self, cx: &std::task::Context<'_>) {
        self.waker.register(cx.waker());
    }

    pub(super) fn is_to_finish(&self) -> bool {
        self.orders.load(Ordering::Acquire) >= FINISH
    }

    pub(super) fn is_cut(&self) -> bool {
        self.orders.load(Ordering::Acquire) == CUT
    }

    /// Gives the connection the order that its phase and the time call for.
    fn judge(&self, now_ms: u64, slack_ms: u64, draining: bool) {
        let limits = &self.shared.limits;
        let overdue = |since: u64, limit: Duration| now_ms.saturating_sub(since) >= millis(limit) + slack_ms;
        let packed = self.phase.load(Ordering::Relaxed);
        let since = packed >> 3;
        let held_up = self.held_up.load(Ordering::Relaxed);
        if held_up != FLOWING && overdue(held_up, limits.write_stall) {
            return self.order(CUT);
        }
        // HTTP/2 knows no phase of answering: between two pieces of a stream the connection looks idle.
        if self.is_multiplexed() && self.is_streaming() {
            if draining {
                self.order(FINISH);
            }
            return;
        }
        let idle = if draining { limits.drain_idle } else { limits.keep_alive_idle };
        match Phase::from_low_bits(packed) {
            Phase::Handshake if overdue(since, limits.tls_handshake) => self.order(CUT),
            Phase::Silent if overdue(since, if draining { limits.drain_idle.min(limits.first_byte) } else { limits.first_byte }) => {
                self.order(CUT)
            }
            Phase::Head if overdue(since, limits.header) => self.order(CUT),
            Phase::Lingering if overdue(since, limits.linger) => self.order(CUT),
            // Told to finish and idle ever since, it waits for a peer that does not go.
            Phase::Idle if self.is_to_finish() && overdue(since.max(self.finish_since.load(Ordering::Relaxed)), limits.header) => {
                self.order(CUT);
            }
            Phase::Idle if overdue(since, idle) => self.order(FINISH),
            // An HTTP/2 peer can be told at once, and then begins nothing more.
            _ if draining && self.is_multiplexed() => self.order(FINISH),
            _ => {}
        }
    }
}

/// The wall's time as a `Date` header says it.
#[expect(clippy::disallowed_methods, reason = "a Date header says what the wall's clock says; nothing is decided by it")]
fn date_now() -> [u8; DATE_BYTES] {
    let text = httpdate::fmt_http_date(std::time::SystemTime::now());
    text.as_bytes().try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

/// What all connections of one server share.
pub(super) struct Shared {
    pub(super) limits: ServerLimits,
    pub(super) trusted: TrustedProxies,
    pub(super) ids: Arc<RequestIds>,
    /// Milliseconds since the server began, as of the broom's last look.
    now_ms: AtomicU64,
    draining: AtomicBool,
    /// The time as a `Date` header says it, as of the broom's last look.
    date: Mutex<[u8; DATE_BYTES]>,
    pub(super) counts: Counts,
    register: Mutex<Register>,
}

/// Length of a `Date` header's value (RFC 9110 §5.6.7).
const DATE_BYTES: usize = 29;

/// What the server counts, for its metrics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) open: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) requests: AtomicU64,
}

#[derive(Default)]
struct Register {
    next: u64,
    lines: HashMap<u64, Arc<Line>>,
    addresses: HashMap<IpAddr, usize>,
}

/// A connection's entry in the register; leaving is dropping it.
pub(super) struct Seat {
    pub(super) line: Arc<Line>,
    id: u64,
    address: Option<IpAddr>,
}

impl Shared {
    pub(super) fn new(limits: ServerLimits, trusted: TrustedProxies, ids: Arc<RequestIds>) -> Shared {
        Shared {
            limits,
            trusted,
            ids,
            now_ms: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            date: Mutex::new(date_now()),
            counts: Counts::default(),
            register: Mutex::default(),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// A place for a connection; `None` where there are too many of them, in all or from this
    /// address. `address` is `None` for those that are not counted by address.
    pub(super) fn seat(self: &Arc<Shared>, address: Option<IpAddr>, phase: Phase) -> Option<Seat> {
        let address = address.map(neighbourhood);
        let mut register = self.register.lock();
        if register.lines.len() >= self.limits.connections {
            return None;
        }
        if let Some(address) = address {
            let here = register.addresses.entry(address).or_default();
            if *here >= self.limits.connections_per_address {
                return None;
            }
            *here += 1;
        }
        register.next += 1;
        let id = register.next;
        let line = Arc::new(Line::new(self.clone(), phase));
        register.lines.insert(id, line.clone());
        self.counts.open.store(register.lines.len(), Ordering::Relaxed);
        Some(Seat { line, id, address })
    }

    /// How often the broom looks.
    pub(super) fn tick(&self) -> Duration {
        let limits = &self.limits;
        let shortest = [
            limits.tls_handshake,
            limits.first_byte,
            limits.header,
            limits.keep_alive_idle,
            limits.write_stall,
            limits.linger,
            limits.drain_idle,
        ]
        .into_iter()
        .min()
        .unwrap_or(TICK_MAX);
        (shortest / 8).clamp(TICK_MIN, TICK_MAX)
    }

    /// Shows the value of a `Date` header.
    pub(super) fn with_date(&self, show: impl FnOnce(&[u8])) {
        show(&*self.date.lock());
    }

    /// One look over all connections.
    pub(super) fn sweep(&self, now: Duration) {
        let now_ms = millis(now);
        self.now_ms.store(now_ms, Ordering::Relaxed);
        *self.date.lock() = date_now();
        let slack_ms = millis(self.tick());
        let draining = self.is_draining();
        for line in self.register.lock().lines.values() {
            line.judge(now_ms, slack_ms, draining);
        }
    }

    /// Cuts every connection: the deadline of a drain.
    pub(super) fn cut_all(&self) {
        for line in self.register.lock().lines.values() {
            line.order(CUT);
        }
    }

    pub(super) fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shared = &self.line.shared;
        if self.line.is_cut() {
            shared.counts.cut.fetch_add(1, Ordering::Relaxed);
        }
        let mut register = shared.register.lock();
        register.lines.remove(&self.id);
        shared.counts.open.store(register.lines.len(), Ordering::Relaxed);
        if let Some(address) = self.address
            && let Some(here) = register.addresses.get_mut(&address)
        {
            *here -= 1;
            if *here == 0 {
                register.addresses.remove(&address);
            }
        }
    }
}

/// What counts as one address: of IPv6 a /64, since that is what one customer of a network gets.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}
