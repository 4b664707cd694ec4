//! What can go wrong between a client and Meta, as values.
//!
//! A [`Behaviour`] says what happens to one request (or one connection). It is
//! asked for by a script rule or by a magic recipient, and carried out by the
//! server, which is why that has its own HTTP/1.1 framing and sits directly on
//! `h2`: a well-behaved server cannot be taught to break off in the middle.

pub mod magic;
pub mod named;

use serde::{Deserialize, Serialize};

pub use named::Named;

/// How far a request has come when a behaviour strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The TCP connection was accepted; nothing was read (and no TLS spoken).
    Accept,
    /// Bytes of a request are there; none was parsed. On HTTP/2 this is the
    /// connection's first request only, since later ones share its frames.
    FirstByte,
    /// The head was read, the body was not. The request is not in the record.
    Head,
    /// The whole request was read, and is in the record; nothing was answered.
    Body,
    /// In the middle of the answer's head.
    AnswerHead,
    /// In the middle of the answer's body.
    AnswerBody,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Orderly: the client sees the end of the stream. Over TLS no
    /// `close_notify` is sent, as when a proxy dies.
    Fin,
    /// Hard: the client sees "connection reset by peer".
    Rst,
}

/// More would endanger the simulator itself, which builds the answer in memory.
const FLOOD_MIB_MAX: u32 = 256;

/// Why an HTTP/2 stream is reset (RFC 9113 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The stream was not processed at all; only true (and only taken) before
    /// the body was read.
    RefusedStream,
    /// The server broke.
    InternalError,
    /// The server lost interest.
    Cancel,
    /// The server feels attacked.
    EnhanceYourCalm,
}

/// Which streams a GOAWAY frame still claims to process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastStream {
    /// Those before the request: it was not processed, and is not recorded.
    /// Where a later stream was processed already this would be untrue, and the
    /// stream is reset with REFUSED_STREAM instead.
    Below,
    /// The request too, but it is never answered; the connection closes.
    This,
    /// The request too, and it is answered; then the connection drains.
    After,
}

/// What happens to a request instead of a plain answer, or beside it.
///
/// In JSON: `{"do": "close", "at": "body", "how": "rst"}`, or the name of one of
/// [`Behaviour::all_named`] as a string.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Behaviour {
    /// Answers as Meta would.
    Answer,
    /// Refuses with Meta's error body.
    GraphError {
        /// Meta's code, such as 130429.
        code: u32,
        /// The HTTP status, where it shall not be the code's usual one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// `error_subcode`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subcode: Option<u32>,
        /// `error_data.details`, where it shall not be the code's usual one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<String>,
    },
    /// Answers with these bytes, whatever the request was.
    Reply {
        /// The HTTP status, 200..=599.
        status: u16,
        /// `Content-Type`.
        #[serde(default = "json_type")]
        content_type: String,
        /// `Location`, for redirects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// Meta's true answer with the second half of its JSON missing, framed as if
    /// it were whole.
    CutJson,
    /// Meta's true answer, and behind it so much white space that a client which
    /// reads without a limit is in trouble. It is valid JSON.
    Flood {
        /// MiB of white space, 1 to 256.
        mib: u32,
    },
    /// Meta's true answer byte by byte, which no timeout between two reads ever
    /// ends. (On HTTP/2 the head is one frame, and the body drips.)
    Drip {
        /// Milliseconds between two bytes.
        ms: u64,
    },
    /// Meta's true answer under a `Content-Length` that is wrong by so many
    /// bytes: too long (positive), and the connection closes early; or too short
    /// (negative), and the rest follows as if it were another answer.
    WrongLength {
        /// Bytes added to the true length; not 0.
        by: i32,
    },
    /// Meta's true answer in chunks, of which the last ones never come.
    ChunkedCut {
        /// How the connection ends.
        how: How,
    },
    /// Waits, then goes on as if nothing were.
    Delay {
        /// Where it waits.
        at: Stage,
        /// For how long.
        ms: u64,
    },
    /// Ends the connection.
    Close {
        /// When.
        at: Stage,
        /// How.
        how: How,
    },
    /// Says nothing more, but keeps the connection open until the client ends it.
    Hang {
        /// From when on.
        at: Stage,
    },
    /// Sends an interim answer (100 to 199, not 101) once the request was read.
    Interim {
        /// The interim status.
        status: u16,
        /// How the connection ends then; where missing, the true answer follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        then: Option<How>,
    },
    /// Sends bytes that are not HTTP instead of an answer, and closes.
    Garbage,
    /// Answers with the id that the number's previous message got.
    RepeatWamid,
    /// Answers twice, so that the second answer waits on the connection for the
    /// next request. On HTTP/2, where that cannot be said, once.
    AnswerTwice,
    /// HTTP/2: resets the request's stream. On HTTP/1.1 the connection is reset.
    ResetStream {
        /// `head`, `body` or `answer_body`.
        at: Stage,
        /// The error code.
        reason: ResetReason,
    },
    /// HTTP/2: sends GOAWAY. On HTTP/1.1 the connection is closed at the same
    /// point (for `after`: announced by `Connection: close`).
    GoAway {
        /// Which streams it covers.
        last_stream: LastStream,
    },
}

/// A behaviour that cannot be carried out as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(pub String);

impl From<String> for Impossible {
    fn from(why: String) -> Impossible {
        Impossible(why)
    }
}

impl Behaviour {
    /// Every behaviour that has a name, in the order of `turnpike simulator --help`.
    pub fn all_named() -> &'static [Named] {
        named::all()
    }

    /// The behaviour of this name.
    pub fn named(name: &str) -> Option<Behaviour> {
        named::all().iter().find(|named| named.name == name).map(|named| named.behaviour.clone())
    }

    /// When the decision for it falls, and so what a rule may ask about: before
    /// [`Stage::Body`] nobody knows the recipient or the type.
    pub fn decided_at(&self) -> Stage {
        match self {
            Behaviour::Delay { at, .. } | Behaviour::Close { at, .. } | Behaviour::Hang { at } | Behaviour::ResetStream { at, .. } => {
                (*at).min(Stage::Body)
            }
            Behaviour::GoAway { last_stream: LastStream::Below } => Stage::Head,
            _ => Stage::Body,
        }
    }

    /// Whether a request that meets it is in the record: whether the server had
    /// it whole.
    pub fn is_recorded(&self) -> bool {
        matches!(self, Behaviour::Delay { .. }) || self.decided_at() >= Stage::Body
    }

    /// Whether the message counts as taken (gets an id, and [`crate::phones::Events`]
    /// hears of it) although the client may never learn so. A rule can say otherwise.
    pub fn accepts_by_default(&self) -> bool {
        match self {
            Behaviour::GraphError { .. } => false,
            Behaviour::Reply { status, .. } => *status < 300,
            _ => self.is_recorded(),
        }
    }

    /// Whether the behaviour can be carried out.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn check(&self) -> Result<(), Impossible> {
        let no = |why: &str| Err(Impossible(why.to_owned()));
        match self {
            Behaviour::GraphError { status: Some(status), .. } if !(400..=599).contains(status) => {
                no("graph_error: `status` must be 400 to 599")
            }
            Behaviour::Reply { status, .. } if !(200..=599).contains(status) => {
                no("reply: `status` must be 200 to 599; for 1xx use `interim`")
            }
            Behaviour::Reply { content_type, location, .. }
                if !is_field_value(content_type) || !location.as_deref().is_none_or(is_field_value) =>
            {
                no("reply: `content_type` and `location` must be visible ASCII")
            }
            Behaviour::Flood { mib } if !(1..=FLOOD_MIB_MAX).contains(mib) => no("flood: `mib` must be 1 to 256"),
            Behaviour::WrongLength { by: 0 } => no("wrong_length: `by` must not be 0"),
            Behaviour::Interim { status, .. } if !(100..=199).contains(status) || *status == 101 => {
                no("interim: `status` must be 100 to 199 and not 101")
            }
            Behaviour::ResetStream { at, .. } if !matches!(at, Stage::Head | Stage::Body | Stage::AnswerBody) => {
                no("reset_stream: `at` must be `head`, `body` or `answer_body`")
            }
            Behaviour::ResetStream { at, reason: ResetReason::RefusedStream } if *at != Stage::Head => {
                no("reset_stream: `refused_stream` promises that nothing was processed, so `at` must be `head`")
            }
            _ => Ok(()),
        }
    }
}

fn json_type() -> String {
    "application/json; charset=UTF-8".to_owned()
}

/// Whether the text can stand in a header without breaking the framing.
fn is_field_value(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}
