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
//! # Webhooks
//!
//! A [`Subscription`] is a callback URL with an app secret and a verify token. It
//! is made by [`Config::subscriptions`], [`Simulator::subscribe`], `POST
//! /_sim/webhooks`, the flags `--webhook-url`, `--app-secret` and
//! `--verify-token`, or Graph's own `POST /{app}/subscriptions` (with the app
//! access token `APP-ID|APP-SECRET`), `POST /{waba}/subscribed_apps` and `POST
//! /{number}` with `webhook_configuration`. Meta's
//! handshake is made each time; Graph's calls are refused when it fails (2200),
//! the others keep the subscription and report it.
//!
//! From then on every accepted message has its statuses (`sent`, `delivered`,
//! `read`, `played`, `failed`), posted in Meta's spelling (ASCII, `\u00e9`, `\/`)
//! and signed over those bytes. An answer other than 200, or none in time, is
//! tried again with decreasing frequency for seven simulated days. Without a
//! subscription nothing of this costs a send anything.
//!
//! ```
//! use std::time::Duration;
//! use turnpike_simulator::{Config, Reply, Simulator, StatusRule, Subscription, Tap};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let simulator = Simulator::start(Config::default()).await?;
//! # let callback = "http://127.0.0.1:9/";
//! simulator.subscribe(Subscription::new(callback, "app secret", "verify token")).await?;
//! // Their statuses come in the wrong order, each of them:
//! simulator.plan(StatusRule::named("reversed").to("905321234567"))?;
//! // A user writes, which opens the window for a day:
//! simulator.reply(Reply::text("905321234567", "Hello").to_number("1001"))?;
//! // A user taps on what was sent to them; here nothing was:
//! assert!(simulator.tap(&Tap { from: Some("905321234567".into()), button: Some("Yes".into()), ..Tap::default() }).is_err());
//! // An hour passes, and everything that became due has been posted:
//! simulator.advance(Duration::from_secs(3_600)).await;
//! # simulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! *What a message's statuses are* is decided by a [`StatusRule`], by a magic
//! recipient (`1555010` + `4` + a code of six digits fails later with it, + `5` +
//! two digits has a named plan, + `6` + six digits is later by so many
//! milliseconds), or else by [`Config::timing`]; see [`plan`]. A free-form message
//! outside the window fails with 131047.
//!
//! *What users do*: [`Simulator::reply`] and [`Simulator::tap`], which takes only
//! buttons, rows and flows that were really sent; *what the account does*:
//! [`Simulator::template`], [`Simulator::prefer`], and [`Simulator::event`] for
//! any field as it stands, or by its name alone as Meta's documents show it. [`User`] declares users with a username or without a
//! number.
//!
//! *Time*: statuses, windows, expiries and repeats go by a simulated clock that
//! runs [`Config::speed`] times as fast as the real one and can be put forward
//! ([`Simulator::advance`]).
//!
//! The same by HTTP, JSON in and out; a member that does not fit is named in a 400:
//!
//! | call | body |
//! | --- | --- |
//! | `POST /_sim/reply` | `{"from": "905321234567", "text": "Hi"}`, or any type of message under its name; `phone_number_id`, `context`, `referral`, `forwarded`, `group_id`, `seconds_ago` |
//! | `POST /_sim/tap` | `{"message_id": "wamid.…"}` or `{"from": "905321234567"}`, with `button`, `row` (an id or a title) or `flow` |
//! | `POST /_sim/status` | `{"message_id": "wamid.…", "status": "failed", "code": 131026}`; `to`, `pricing`, `times`, `group_id`, `signature`, `with` |
//! | `POST /_sim/call` | `{"from": "905321234567"}`; `id`, `event`, `status`, `direction`, `phone_number_id`, `with`: a [`Call`] |
//! | `POST /_sim/template` | `{"name": "order_confirmation", "status": "PAUSED"}`; `language`, `category`, `quality`, `reason`, `waba_id` |
//! | `POST /_sim/preference` | `{"from": "905321234567", "value": "stop"}` |
//! | `POST /_sim/event` | `{"field": "account_update", "value": {…}}`; `phone_number_id`, `waba_id`, `signature`; without `value` the field's example (`GET /_sim/fields`), with `from` and `with` |
//! | `POST /_sim/plan`, `GET`, `DELETE` | rules, as in [`plan`]; `GET /_sim/plans` lists the named ones |
//! | `POST /_sim/users`, `GET`; `POST /_sim/numbers`, `/_sim/wabas` | a [`User`]; a [`Number`]; a [`Waba`] |
//! | `POST /_sim/webhooks`, `GET`, `DELETE` | a [`Subscription`]; the list has every recent attempt and its answer |
//! | `GET /_sim/clock`, `POST`; `POST /_sim/clock/advance` | `{"speed": 60}`; `{"seconds": 3600}` |
//! | `POST /_sim/settle` | answers once all that is due had its attempt |
//!
//! # Media
//!
//! `POST /{number}/media` (a form with `messaging_product`, `file`, `type`), `GET`
//! and `DELETE /{media}`, and the file itself by the URL that `GET` gives, with
//! the same token, for five simulated minutes. What users send is there as well.
//! All is kept in memory, the newest 512 MiB, and each file knows whom it came from and went to: it goes
//! with a user who is forgotten.
//!
//! Resumable uploads (`POST /{app}/uploads`, then `/upload:…`) give the handles for
//! the examples of template headers; of their bytes nothing is kept.
//!
//! # What outlives a restart
//!
//! With `--data` ([`Record::File`]) the record of requests, and beside it
//! (`simulator.memory.jsonl`) the newest 50,000 messages, so that they can be tapped
//! and reported on; when users wrote and who wants no marketing; users, numbers,
//! accounts and subscriptions that were declared over HTTP. Statuses that were still to come are
//! lost, and so are rules, templates and files; what the configuration and library
//! calls say is said anew by the program.
//!
//! # Forgetting a user
//!
//! `POST /_sim/forget` with `{"name": "905321234567"}` (a number or a business-scoped id), or
//! [`Simulator::forgetter`]; [`forget_at_rest`] does it to the files of one that does not run. Recorded
//! requests that name the user become husks, so that counts stay true; all else of the user goes, files
//! that they sent and those that were sent to nobody else among it.
//!
//! # What it is not
//!
//! It does not fetch linked media and knows no payments. Groups are told of (what is written in
//! one, statuses of what was sent to one), and cannot be sent to; of calls it tells, and nothing rings. Where
//! Meta's documents leave a question open it takes the laxer reading: documents of
//! unlisted types pass, and how webhooks show the thousand free service messages of
//! a month is not documented, so that they are priced like all others unless
//! [`Config::free_service_messages`] says how many are free.

mod allowance;
mod calls;
mod chance;
mod changes;
mod clock;
pub mod command;
mod config;
mod control;
mod exchange;
pub mod faults;
mod forgetting;
mod graph;
mod inbound;
mod media;
mod memory;
mod numbers;
pub mod phones;
pub mod plan;
mod playing;
mod record;
mod rules;
mod samples;
mod script;
mod sent;
mod server;
mod statuses;
mod tap;
mod users;
mod validate;
mod wabas;
mod wamid;
mod webhooks;

pub use calls::Call;
pub use chance::NoEntropy;
pub use config::{Config, Record, TlsFiles, Tokens, Window};
pub use faults::{Behaviour, Named};
pub use forgetting::{Forgetter, forget_at_rest};
pub use graph::codes;
pub use graph::templates::{TemplateSeed, demo_templates};
pub use inbound::{Happened, Preference, Reply};
pub use numbers::{DEFAULT_WABA, Number};
pub use plan::{PlannedStatus, Pricing, Signature, StatusMatch, StatusRule, Timing};
pub use playing::{ClockReport, RawEvent, StatusNow, TemplateChange, Unplayable};
pub use record::{RecordError, RecordedRequest};
pub use rules::Set;
pub use script::{Match, Rule, SetRule};
pub use server::{Simulator, StartError, TlsError};
pub use tap::Tap;
pub use users::User;
pub use wabas::Waba;
pub use webhooks::{Attempt, BATCH_MAX, Handshake, RETRY_AFTER_SECONDS, RETRY_FOR_DAYS, Subscription, SubscriptionReport};
