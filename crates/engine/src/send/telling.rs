//! What a message's rows say to people: its timeline, what became of its money and why, what to do.
//!
//! Plain functions from what is stored to words; who may read which words is decided here as well.

use turnpike_domain::ledger::{Leg, LegState, Movement, OutcomeKind, Resolution};
use turnpike_domain::send::{MessageState, Mode};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{StatusKind, explain};
use turnpike_store::events::StatusRecord;
use turnpike_store::messages::{Evidence, MessageRecord};

use super::stored::{Answer, FailureWords};
use super::view::{FailureView, Problem, StatusView, TimelineEntry, state_of};
use crate::reasons;

/// A status with what Meta wrote of its failure.
pub(super) struct Told<'a> {
    /// As stored.
    pub(super) status: &'a StatusRecord,
    /// Why Meta could not deliver.
    pub(super) failure: Option<Failed>,
}

/// A failure, opened.
pub(super) struct Failed {
    /// Meta's code.
    pub(super) code: i64,
    /// Gone where the user was erased.
    pub(super) words: Option<FailureWords>,
}

impl Failed {
    fn title(&self) -> String {
        self.words.as_ref().map_or_else(|| "Meta could not deliver it".to_owned(), |words| words.title.clone())
    }

    fn details(&self) -> Option<String> {
        self.words.as_ref()?.details.clone()
    }
}

/// Who reads a timeline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Sees who gave a reason.
    Operator,
    /// Sees the reason.
    Owner,
}

impl Reader {
    /// A reason as this reader may see it.
    fn reason(self, text: &str, is_a_persons: bool) -> &str {
        if is_a_persons && self == Reader::Owner { reasons::words(text) } else { text }
    }
}

/// A status as it is shown.
pub(super) fn status_view(told: &Told<'_>) -> StatusView {
    let Told { status, failure } = told;
    StatusView {
        status: status.status,
        at: status.at.to_rfc3339(),
        received_at: status.received_at.to_rfc3339(),
        pricing: status.pricing.clone(),
        failure: failure.as_ref().map(|failure| {
            let explained = explain(failure.code);
            FailureView {
                code: failure.code,
                title: failure.title(),
                details: failure.details(),
                what_happened: explained.what_happened,
                what_to_do: explained.what_to_do,
            }
        }),
    }
}

/// Why a leg stands where it does: the words of its last movement, or what its state means.
pub(super) fn why(record: &MessageRecord, leg: Leg, state: LegState) -> String {
    if let Some(moved) = record.movements.iter().rev().find(|moved| moved.leg == leg) {
        let words = Reader::Owner.reason(&moved.reason, moved.movement == Movement::Refund);
        let what = match moved.movement {
            Movement::Capture => "Charged",
            Movement::Release => "Given back",
            Movement::LateCapture => "Charged late",
            Movement::Refund => "Returned",
            Movement::Hold => "Held",
        };
        return format!("{what} {}: {words}.", moved.amount);
    }
    let is_open = matches!(record.outcome, Some((OutcomeKind::Unknown, _))) && record.resolution.is_none();
    match (state, leg) {
        (LegState::None, Leg::Meta) if record.meta_reported != record.meta => "Meta bills the customer directly.".to_owned(),
        (LegState::None, _) => "Nothing was held.".to_owned(),
        (LegState::Held(_), _) if is_open => "Held until evidence says whether it was sent.".to_owned(),
        (LegState::Held(_), Leg::Base) => "Held until Meta answers.".to_owned(),
        (LegState::Held(_), Leg::Meta) => "Held until a status of Meta's decides it.".to_owned(),
        (LegState::Captured(_), _) => "Charged: Meta accepted the message.".to_owned(),
        (LegState::Released(_), _) if state_of(record) == MessageState::PresumedNotSent => {
            "Given back: no evidence of the message ever came.".to_owned()
        }
        (LegState::Released(_), Leg::Meta) if state_of(record) == MessageState::Failed => {
            "Given back: Meta could not deliver it.".to_owned()
        }
        (LegState::Released(_), _) => "Given back: the message was not sent.".to_owned(),
        (LegState::LateCaptured(_), _) => "Charged late: it was sent after all.".to_owned(),
        (LegState::Refunded(_), _) => "Returned by an operator.".to_owned(),
    }
}

/// What happened, oldest first.
pub(super) fn timeline(record: &MessageRecord, told: &[Told<'_>], reader: Reader) -> Vec<TimelineEntry> {
    let mut line = Line::default();
    let admitted = match record.mode {
        Mode::Fake => "Checked and priced; a fake is never sent and never charged.".to_owned(),
        _ => format!("Price held: {} base, {} Meta fee.", record.base, record.meta),
    };
    line.push(entry(record.admitted_at, "admitted", admitted), record.admitted_at);
    if let Some((outcome, at)) = record.outcome {
        let (event, detail) = outcome_told(outcome, record.mode);
        // By the time of the admission, as a status may have come before Meta's own answer.
        line.push(entry(at, event, detail.to_owned()), record.admitted_at);
    }
    if let Some(end) = &record.resolution {
        let words = reader.reason(&end.reason, end.evidence == Evidence::Operator);
        line.push(entry(end.at, resolution_told(end.resolution), format!("Resolved: {words}.")), end.at);
    }
    for told in told {
        let status = told.status;
        line.push(entry(status.at, status.status.as_str(), story_of(told)), status.received_at);
    }
    for moved in &record.movements {
        let why = reader.reason(&moved.reason, moved.movement == Movement::Refund);
        let fee = if moved.leg == Leg::Base { "Base fee" } else { "Meta fee" };
        let event = format!("{}_{}", moved.leg.as_str(), moved.movement.as_str());
        line.insert(entry(moved.at, &event, format!("{fee} {}: {why}.", moved.amount)), moved.at);
    }
    line.entries
}

/// A timeline in the making.
///
/// A status bears Meta's time, whole seconds by another clock, and stands where the message's life has
/// it; so the money's rows find their place by when each of the others became known to us.
#[derive(Default)]
struct Line {
    entries: Vec<TimelineEntry>,
    known: Vec<UnixMs>,
}

impl Line {
    fn push(&mut self, entry: TimelineEntry, known: UnixMs) {
        self.entries.push(entry);
        self.known.push(known);
    }

    /// Behind the last that was known by then.
    fn insert(&mut self, entry: TimelineEntry, at: UnixMs) {
        let place = self.known.iter().rposition(|known| *known <= at).map_or(self.entries.len(), |before| before + 1);
        self.entries.insert(place, entry);
        self.known.insert(place, at);
    }
}

fn entry(at: UnixMs, event: &str, detail: String) -> TimelineEntry {
    TimelineEntry { at: at.to_rfc3339(), event: event.to_owned(), detail }
}

fn outcome_told(outcome: OutcomeKind, mode: Mode) -> (&'static str, &'static str) {
    match outcome {
        OutcomeKind::Accepted if mode == Mode::Fake => ("accepted", "Answered with a made-up wamid; Meta was not asked."),
        OutcomeKind::Accepted => ("accepted", "Meta accepted it. Accepted is not delivered."),
        OutcomeKind::Refused => ("refused", "Meta refused it. The price was released."),
        OutcomeKind::RefusedRetryable => {
            ("refused", "Meta refused it for now. The price was released; the same request may succeed later.")
        }
        OutcomeKind::NotSent => ("refused", "No byte reached Meta. The price was released; it is safe to send again."),
        OutcomeKind::Unknown => (
            "unknown",
            "Bytes went out and no usable answer came. The price stays held until evidence comes; it is not sent again by itself.",
        ),
    }
}

fn resolution_told(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Accepted => "accepted",
        Resolution::Failed => "failed",
        Resolution::Refused => "refused",
        Resolution::PresumedNotSent => "presumed_not_sent",
    }
}

/// What a status says, in words.
fn story_of(told: &Told<'_>) -> String {
    let Told { status, failure } = told;
    if let Some(failure) = failure {
        let explained = explain(failure.code);
        return format!(
            "{} ({}). {} {}",
            failure.title().trim_end_matches('.'),
            failure.code,
            explained.what_happened,
            explained.what_to_do
        );
    }
    let what = match status.status {
        StatusKind::Sent => "It left Meta's servers.",
        StatusKind::Delivered => "It is on the recipient's device.",
        StatusKind::Read => "The recipient has seen it.",
        StatusKind::Played => "The recipient has played it.",
        StatusKind::Failed => "Meta could not deliver it.",
    };
    let price = status.pricing.as_ref().and_then(|pricing| {
        let category = pricing.category.as_deref().unwrap_or("an unnamed category");
        Some(if pricing.is_chargeable()? {
            format!(" Meta charges it as {category}.")
        } else {
            format!(" Meta does not charge it ({category}).")
        })
    });
    format!("{what}{}", price.unwrap_or_default())
}

/// Why a message did not go out, where it did not, and what to do.
pub(super) fn problem(record: &MessageRecord, told: &[Told<'_>], answer: Option<Answer>) -> Option<Problem> {
    let plain = |code, title: &str, hint: &str| {
        Some(Problem { code, meta_code: None, title: title.to_owned(), details: None, hint: hint.to_owned(), fbtrace_id: None })
    };
    let failure = told.iter().find_map(|told| told.failure.as_ref());
    match (answer, state_of(record)) {
        (_, MessageState::Failed) if let Some(failure) = failure => Some(Problem {
            code: "GW_001",
            meta_code: Some(failure.code),
            title: failure.title(),
            details: failure.details(),
            hint: explain(failure.code).what_to_do.to_owned(),
            fbtrace_id: None,
        }),
        (Some(Answer::Refused(refusal)), _) => Some(Problem {
            code: "GW_001",
            meta_code: Some(refusal.code),
            title: refusal.title,
            details: refusal.details,
            hint: refusal.hint,
            fbtrace_id: refusal.fbtrace_id,
        }),
        (_, MessageState::PresumedNotSent) => {
            plain("GW_003", "Presumed not sent", "No evidence of the message ever came. Send it again with a new Idempotency-Key.")
        }
        (_, MessageState::Unknown) => plain(
            "GW_003",
            "Outcome unknown",
            "Do not send it again yet: wait for its status, or ask an operator to resolve it. The price stays held.",
        ),
        (Some(Answer::NotSent(_)), _) => plain("GW_002", "Not sent", "No byte reached Meta. Send it again."),
        (None, MessageState::Refused) => plain("GW_001", "Refused", "The reason is past its retention and was forgotten."),
        _ => None,
    }
}
