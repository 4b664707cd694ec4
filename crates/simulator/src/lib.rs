//! Plays WhatsApp's Graph API, so that a sender can be tested without a Meta
//! account: every answer that Meta gives, every error that it knows, and every
//! way in which a connection can break between two programs.
//!
//! It knows nothing of the gateway it is shipped with, and is of use to any
//! Cloud API client: set the client's base URL to the simulator's in place of
//! `https://graph.facebook.com`. Any version (`/v23.0/`), any number id and any
//! access token will do.
//!
//! # In CI, for any language
//!
//! ```text
//! turnpike simulator --listen 127.0.0.1:8090 --data ./simulator &
//! curl 127.0.0.1:8090/v23.0/1001/messages -H 'Authorization: Bearer any' \
//!   -d '{"messaging_product":"whatsapp","to":"905321234567","type":"text","text":{"body":"Hi"}}'
//! curl '127.0.0.1:8090/_sim/requests?limit=1'
//! ```
//!
//! The last call shows what Meta would have received: `{at, method, path,
//! headers, body}` (and `query`, where there was one), oldest first. With
//! `--data` a request is on disk before it is answered, so the record holds
//! after a `kill -9` of either side; that makes it a witness for crash tests.
//!
//! # In a Rust test
//!
//! ```
//! use turnpike_simulator::{Behaviour, Config, Rule, Simulator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let simulator = Simulator::start(Config::default()).await?;
//! let timeout = Behaviour::named("close_after_body_rst").ok_or("no such behaviour")?;
//! simulator.script(Rule::to("905321234567", timeout)).await?;
//! // … point the client at simulator.base_url(), let it send, and then:
//! assert_eq!(simulator.requests(10).len(), 0);
//! simulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Asking for faults
//!
//! *By recipient*, without any set-up ([`faults::magic`]): `1555010` + `1` + a
//! code of six digits is refused with that code (`15550101130429` is 130429),
//! `1555010` + `2` + five digits is answered after so many milliseconds, and
//! `1555010` + `3` + two digits is a named behaviour.
//!
//! *By script* ([`Rule`], or `POST /_sim/script`), for what must strike before the
//! recipient is known, or only the second time, or one time in ten:
//!
//! ```json
//! {"match": {"path": "/messages", "type": "template"}, "nth": 2,
//!  "behaviour": {"do": "close", "at": "answer_body", "how": "rst"}}
//! ```
//!
//! [`Behaviour::all_named`] is the list that a client's own test should walk
//! through; [`Behaviour::is_recorded`] says of each whether the server had the
//! request, which is what a client can never know. Rules for
//! [`faults::Stage::Accept`] and [`faults::Stage::FirstByte`] strike whatever
//! connection comes next, also one that means to call `/_sim`: set them by the
//! library, or over a connection that you keep.
//!
//! Tokens that begin with `EAAEXPIRED`, `EAAINVALID` or `EAANOPERM` are refused
//! as their names say; ids that begin with `404` do not exist.
//!
//! # What it is not
//!
//! It does not fetch linked media, keeps no media, and knows no groups. Where
//! Meta's documents leave a question open it takes the laxer reading. Delivery
//! statuses and inbound messages hang on [`phones::Events`], which is told of
//! every accepted message and of its window.

mod chance;
mod clock;
pub mod command;
mod config;
mod control;
mod exchange;
pub mod faults;
mod graph;
mod inbound;
mod media;
mod numbers;
pub mod phones;
pub mod plan;
mod playing;
mod record;
mod samples;
mod script;
mod sent;
mod server;
mod statuses;
mod tap;
mod users;
mod validate;
mod wamid;
mod webhooks;

pub use chance::NoEntropy;
pub use config::{Config, Record, TlsFiles, Tokens, Window};
pub use faults::{Behaviour, Named};
pub use graph::codes;
pub use graph::templates::{TemplateSeed, demo_templates};
pub use inbound::{Happened, Preference, Reply};
pub use numbers::{DEFAULT_WABA, Number};
pub use plan::{PlannedStatus, Pricing, Signature, StatusMatch, StatusRule, Timing};
pub use playing::{ClockReport, RawEvent, StatusNow, TemplateChange, Unplayable};
pub use record::{RecordError, RecordedRequest};
pub use script::{Match, Rule, SetRule};
pub use server::{Simulator, StartError, TlsError};
pub use tap::Tap;
pub use users::User;
pub use webhooks::{Attempt, BATCH_MAX, Handshake, RETRY_AFTER_SECONDS, RETRY_FOR_DAYS, Subscription, SubscriptionReport};
