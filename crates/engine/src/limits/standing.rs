//! What is left of a key's limits, as headers and `/me` show it.

use serde::Serialize;
use turnpike_domain::money::Micros;

use super::Tick;
use super::days::DayUse;
use super::window::Window;
use crate::keys::CompiledPolicy;

/// A key's limits and what is left of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Requests in any span of one second.
    pub sec: WindowStanding,
    /// Requests in any span of sixty seconds.
    pub min: WindowStanding,
    /// Messages of the UTC day, where limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<WindowStanding>,
    /// Sends in flight, where limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyStanding>,
    /// Spend of the UTC day, where limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend: Option<SpendStanding>,
}

/// One limit that time frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowStanding {
    /// How many.
    pub limit: u32,
    /// How many are left.
    pub remaining: u32,
    /// Until the next slot frees, in milliseconds, rounded up; 0 where none is taken. Where nothing
    /// remains this is the wait that a refusal would name.
    pub reset_ms: u64,
}

/// Sends in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConcurrencyStanding {
    /// How many at once.
    pub limit: u32,
    /// How many more may begin now.
    pub remaining: u32,
}

/// Spend of the UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpendStanding {
    /// How much.
    pub limit: Micros,
    /// How much is left.
    pub remaining: Micros,
    /// Until the day ends, in milliseconds.
    pub reset_ms: u64,
}

impl Standing {
    /// The standing of a window that was advanced to `now`.
    pub(super) fn of(policy: &CompiledPolicy, window: &Window, now: Tick, in_flight: u32, used: DayUse, day_ends_in_ms: u64) -> Standing {
        let left = |limit: u32, taken: u32| limit.saturating_sub(taken);
        Standing {
            sec: WindowStanding {
                limit: policy.rate_per_second,
                remaining: left(policy.rate_per_second, window.in_last_second()),
                reset_ms: window.second_frees_in_us(now, policy.rate_per_second).div_ceil(1_000),
            },
            min: WindowStanding {
                limit: policy.rate_per_minute,
                remaining: left(policy.rate_per_minute, window.in_last_minute()),
                reset_ms: window.minute_frees_in_us(now, policy.rate_per_minute).div_ceil(1_000),
            },
            day: policy.daily_limit.map(|limit| WindowStanding {
                limit,
                remaining: left(limit, used.messages),
                reset_ms: if used.messages == 0 { 0 } else { day_ends_in_ms },
            }),
            concurrency: policy.concurrency_limit.map(|limit| ConcurrencyStanding { limit, remaining: left(limit, in_flight) }),
            spend: policy.daily_spend.map(|limit| SpendStanding {
                limit,
                remaining: Micros(limit.0.saturating_sub(used.spend_micros).max(0)),
                reset_ms: if used.spend_micros == 0 { 0 } else { day_ends_in_ms },
            }),
        }
    }
}
