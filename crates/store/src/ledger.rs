//! The ledger: wallets, what moves them, and the proof that they are right.

use serde::Serialize;
use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::ledger::{Balance, Leg, LegState, Movement, NotMoved};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use crate::Answer;

/// Money that comes or goes beside messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum WalletMovement {
    /// Prepaid money came in: cash → wallet.
    TopUp = 1,
    /// An operator's correction, either way: adjustments ↔ wallet. Below available it is refused.
    Adjust = 2,
}

/// A wallet movement that an operator asks for.
#[derive(Clone, Debug)]
pub struct MoveWallet {
    /// Its UUID; the same movement again under the same id changes nothing (so that a repeated
    /// command is harmless), and another one is refused.
    pub id: Uuid,
    /// Whose wallet.
    pub organization: OrganizationId,
    /// Live or sandbox wallet.
    pub mode: Mode,
    /// What it is.
    pub movement: WalletMovement,
    /// How much; a top-up is positive, an adjustment has a sign.
    pub amount: Micros,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Now.
    pub at: UnixMs,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalletMoved {
    /// Committed; the balance after it.
    Done(Balance),
    /// The same movement was committed before under this id; the balance now.
    Already(Balance),
    /// Another movement was committed under this id: of another amount, kind or wallet.
    Taken,
    /// It would have taken available below zero.
    BelowZero(Balance),
    /// The sum does not fit 64 bits.
    TooLarge,
    /// No such organization.
    NotFound,
}

/// A later movement of one leg: a settlement by status, a refund, a late capture.
#[derive(Clone, Debug)]
pub struct MoveLeg {
    /// Owner.
    pub organization: OrganizationId,
    /// Which message.
    pub message: MessageKey,
    /// Which leg.
    pub leg: Leg,
    /// Capture, release, late capture or refund.
    pub movement: Movement,
    /// How much; a release and a refund take the whole whatever it says.
    pub amount: Micros,
    /// Why, in words.
    pub reason: String,
    /// Now.
    pub at: UnixMs,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegMoved {
    /// Committed; the leg's state after it.
    Done(LegState),
    /// It does not follow from where the leg stands.
    Not(NotMoved),
    /// No such message in this organization.
    NotFound,
    /// Rows of it cannot be read: nothing changed, and the rest of the batch went on.
    Broken {
        /// Which row, and what of it.
        fault: String,
    },
}

/// An organization's wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wallet {
    /// Live or sandbox.
    pub mode: Mode,
    /// Its currency.
    pub currency: Currency,
    /// Where it stands.
    #[serde(flatten)]
    pub balance: Balance,
}

/// Which lines of which wallet's statement.
#[derive(Clone, Debug)]
pub struct StatementQuery {
    /// Whose wallet.
    pub organization: OrganizationId,
    /// Live or sandbox wallet.
    pub mode: Mode,
    /// Movements from then on.
    pub from: Option<UnixMs>,
    /// Movements before then.
    pub until: Option<UnixMs>,
    /// Where the last page ended.
    pub before: Option<StatementCursor>,
    /// Lines at most.
    pub limit: u32,
}

impl StatementQuery {
    /// The newest lines of a wallet.
    #[must_use]
    pub fn newest(organization: OrganizationId, mode: Mode, limit: u32) -> StatementQuery {
        StatementQuery { organization, mode, from: None, until: None, before: None, limit }
    }
}

/// The last line of a page: the next one goes on with what is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementCursor {
    /// The line's time, as lines are ordered.
    pub at: UnixMs,
    /// The line's place in the journal.
    pub sequence: i64,
    /// What was available before the line, where no older one can come in any more.
    pub carried: Option<Carried>,
}

/// What a cursor carries on, so that a page far back does not add up everything newer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// What was available.
    pub available: Micros,
    /// The place in the journal at which the clock was last set back: once it is again, older lines can
    /// come in after all. 0 where it never was.
    pub turn: i64,
}

/// `1795392000000.4711`, and after two more points what it carries on.
impl std::fmt::Display for StatementCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at.0, self.sequence)?;
        self.carried.iter().try_for_each(|carried| write!(f, ".{}.{}", carried.available.0, carried.turn))
    }
}

/// A text that is no cursor of a statement's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCursor;

impl std::str::FromStr for StatementCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<StatementCursor, NoCursor> {
        let numbers: Vec<i64> = text.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| NoCursor)?;
        let (at, sequence, carried) = match numbers.as_slice() {
            // What three numbers carried on was carried before turns were noted.
            [at, sequence] | [at, sequence, _] => (*at, *sequence, None),
            [at, sequence, available, turn] => (*at, *sequence, Some(Carried { available: Micros(*available), turn: *turn })),
            _ => return Err(NoCursor),
        };
        Ok(StatementCursor { at: UnixMs(at), sequence, carried })
    }
}

/// A page of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementPage {
    /// Newest first.
    pub lines: Vec<StatementLine>,
    /// Where the next page goes on.
    pub next: Option<StatementCursor>,
    /// On the first page of a period: what was available before and after it.
    pub period: Option<StatementPeriod>,
}

/// What was available at both ends of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatementPeriod {
    /// Before its first movement.
    pub opening: Micros,
    /// After its last.
    pub closing: Micros,
}

/// One line of a statement: a balanced movement, seen from the wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementLine {
    /// Place in the journal, which is its message's.
    pub sequence: i64,
    /// When.
    pub at: UnixMs,
    /// `top_up`, `adjust`, `hold`, `capture`, `release`, `late_capture`, `refund`.
    pub kind: String,
    /// The leg, where it is a message's.
    pub leg: Option<Leg>,
    /// The message, where it is one's.
    pub message: Option<turnpike_domain::ids::MessageId>,
    /// Account debited: `wallet`, `held_base`, `held_meta`, `cash`, `base_revenue`, `meta_revenue`, `adjustments`.
    pub debit: String,
    /// Account credited.
    pub credit: String,
    /// How much.
    pub amount: Micros,
    /// What was available after it.
    pub available: Micros,
    /// Why, where a person or a status said so.
    pub reason: Option<String>,
    /// The instant that it is ordered by: its own.
    #[serde(skip)]
    pub ordered: i64,
}

impl StatementLine {
    /// What the wallet gained by it, in micros: less than nothing where money left it or was held.
    #[must_use]
    pub fn moved(&self) -> i64 {
        match (self.debit.as_str(), self.credit.as_str()) {
            (_, "wallet") => self.amount.0,
            ("wallet", _) => self.amount.0.saturating_neg(),
            _ => 0,
        }
    }
}

/// What `ledger verify` found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Each invariant, proved or not.
    pub checks: Vec<InvariantCheck>,
    /// Journal entries read.
    pub entries: u64,
    /// Messages read.
    pub messages: u64,
    /// True where every check holds.
    pub clean: bool,
}

/// One invariant of reliability §a.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvariantCheck {
    /// `I1` …
    pub id: &'static str,
    /// What it says.
    pub claim: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// How many rows were looked at.
    pub examined: u64,
    /// The first violations, in words.
    pub violations: Vec<String>,
}

/// Reads and writes of money beside messages.
pub trait Ledger {
    /// Tops up or adjusts.
    fn move_wallet(&self, movement: MoveWallet) -> Answer<'_, WalletMoved>;
    /// Moves legs of messages that have an outcome.
    fn move_legs(&self, batch: Vec<MoveLeg>) -> Answer<'_, Vec<LegMoved>>;
    /// Both wallets of an organization (empty where there is no such organization).
    fn wallets(&self, organization: OrganizationId) -> Answer<'_, Vec<Wallet>>;
    /// The wallet's balance as the writer has it now.
    fn balance(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Balance>>;
    /// Balanced entries of one organization's wallet (live or play), each at its own time, newest first.
    fn statement(&self, query: StatementQuery) -> Answer<'_, StatementPage>;
    /// Asks to be told once available falls below `below` (`None`: no longer), once per fall; false
    /// where there is no such organization. An organization whose available is below it already is
    /// told at its wallet's next movement.
    fn set_wallet_alert(&self, organization: OrganizationId, mode: Mode, below: Option<Micros>) -> Answer<'_, bool>;
    /// Below which available the organization wants to be told.
    fn wallet_alert(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Micros>>;
    /// Recomputes everything from the journal and compares (I1–I4, I7, I8, I10).
    fn verify(&self) -> Answer<'_, Verification>;
}
