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
    /// Its UUID; the same id again changes nothing (so that a repeated command is harmless).
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
    /// The same id was committed before; the balance now.
    Already(Balance),
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

/// One line of a statement: a balanced movement, seen from the wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementLine {
    /// Place in the journal; pages go by it.
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
    /// Why, where a person or a status said so.
    pub reason: Option<String>,
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
    /// Balanced entries of one organization's wallet (live or play), newest first, before `before`.
    fn statement(&self, organization: OrganizationId, mode: Mode, before: Option<i64>, limit: u32) -> Answer<'_, Vec<StatementLine>>;
    /// Asks to be told once available falls below `below` (`None`: no longer), once per fall; false
    /// where there is no such organization. An organization whose available is below it already is
    /// told at its wallet's next movement.
    fn set_wallet_alert(&self, organization: OrganizationId, mode: Mode, below: Option<Micros>) -> Answer<'_, bool>;
    /// Below which available the organization wants to be told.
    fn wallet_alert(&self, organization: OrganizationId, mode: Mode) -> Answer<'_, Option<Micros>>;
    /// Recomputes everything from the journal and compares (I1–I4, I7, I8, I10).
    fn verify(&self) -> Answer<'_, Verification>;
}
