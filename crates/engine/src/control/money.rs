//! Money beside messages: top-ups, corrections, refunds.

use turnpike_domain::ledger::{Balance, Leg, LegState, Movement, NotMoved};
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::FieldFault;
use turnpike_domain::send::Mode;
use turnpike_store::ledger::{LegMoved, MoveLeg, MoveWallet, WalletMoved, WalletMovement};
use turnpike_store::messages::MessageRecord;
use turnpike_store::organizations::Organization;
use uuid::Uuid;

use super::ControlFault;
use crate::Engine;
use crate::reasons::given_by;

/// A wallet movement that an operator asks for.
#[derive(Clone, Debug)]
pub struct WalletOrder {
    /// Its id, where the caller wants to be able to repeat it harmlessly.
    pub id: Option<Uuid>,
    /// Live or play wallet.
    pub mode: Mode,
    /// Top-up or correction.
    pub movement: WalletMovement,
    /// How much.
    pub amount: Micros,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// Characters of a reason.
const REASON_MAX: usize = 500;
/// One movement: past this it is a slip of the keyboard (a billion units).
const AMOUNT_MAX: Micros = Micros(1_000_000_000 * turnpike_domain::money::MICROS_PER_UNIT);

impl Engine {
    /// Tops up or corrects a wallet. The same order again under the same id changes nothing.
    ///
    /// # Errors
    /// Fields, a correction below available, an id that was given to another order.
    pub async fn move_wallet(&self, organization: &Organization, order: WalletOrder) -> Result<Balance, ControlFault> {
        let mut faults = reason_faults(&order.reason, order.movement == WalletMovement::Adjust);
        if order.amount == Micros::ZERO || order.amount.0.unsigned_abs() > AMOUNT_MAX.0.unsigned_abs() {
            faults.push(FieldFault::new("amount", "must not be 0, and at most 1000000000"));
        } else if order.movement == WalletMovement::TopUp && order.amount.is_negative() {
            faults.push(FieldFault::new("amount", "must be positive for a top-up; use an adjustment to take money away"));
        }
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let at = self.clock.now();
        let id = order.id.unwrap_or_else(|| self.uuid(at));
        let movement = MoveWallet {
            id,
            organization: organization.key,
            mode: order.mode,
            movement: order.movement,
            amount: order.amount,
            reason: order.reason,
            actor: order.actor,
            at,
        };
        match self.store.move_wallet(movement).await? {
            WalletMoved::Done(balance) | WalletMoved::Already(balance) => Ok(balance),
            WalletMoved::BelowZero(balance) => Err(ControlFault::rule(format!(
                "this would take the wallet below zero: {} {} is available, the rest is held for messages under way",
                balance.available(),
                organization.currency
            ))),
            WalletMoved::Taken => Err(ControlFault::rule(
                "this id was given to another movement of money, of another amount, kind or wallet; give a new movement an id of its own",
            )),
            WalletMoved::TooLarge => Err(ControlFault::field("amount", "is more than a wallet can hold")),
            WalletMoved::NotFound => Err(ControlFault::NotFound("organization")),
        }
    }

    /// Returns captured legs of a message, once each.
    ///
    /// # Errors
    /// Fields, a leg that was not captured.
    pub async fn refund(
        &self,
        record: &MessageRecord,
        legs: &[Leg],
        reason: &str,
        actor: &str,
    ) -> Result<Vec<(Leg, LegState)>, ControlFault> {
        let faults = reason_faults(reason, true);
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let at = self.clock.now();
        let orders = legs
            .iter()
            .map(|leg| MoveLeg {
                organization: record.organization,
                message: record.key,
                leg: *leg,
                movement: Movement::Refund,
                amount: Micros::ZERO,
                reason: given_by(actor, reason),
                at,
            })
            .collect();
        let moved = self.store.move_legs(orders).await?;
        legs.iter().zip(moved).map(|(leg, moved)| refunded(*leg, moved).map(|state| (*leg, state))).collect()
    }
}

fn refunded(leg: Leg, moved: LegMoved) -> Result<LegState, ControlFault> {
    match moved {
        LegMoved::Done(state) => Ok(state),
        LegMoved::Not(NotMoved::Already(LegState::Refunded(_))) => {
            Err(ControlFault::rule(format!("the {} leg was refunded before; a leg is refunded once", leg.as_str())))
        }
        LegMoved::Not(_) => Err(ControlFault::rule(format!("the {} leg was not captured, so there is nothing to refund", leg.as_str()))),
        LegMoved::Broken { fault } => Err(ControlFault::rule(fault)),
        LegMoved::NotFound => Err(ControlFault::NotFound("message")),
    }
}

/// What is wrong with a reason.
pub(super) fn reason_faults(reason: &str, required: bool) -> Vec<FieldFault> {
    let length = reason.chars().count();
    if required && reason.trim().is_empty() {
        vec![FieldFault::new("reason", "must be given: it stands in the statement")]
    } else if length > REASON_MAX {
        vec![FieldFault::new("reason", format!("must be at most {REASON_MAX} characters ({length} given)"))]
    } else {
        Vec::new()
    }
}
