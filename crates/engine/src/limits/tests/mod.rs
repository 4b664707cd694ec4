//! The promises of the limits: exact, both ways, under threads, across a restart, in bounded memory.

mod bounds;
mod oracle;
mod pairs;
mod restart;
mod rules;
mod threads;

use turnpike_domain::ids::{ApiKeyId, ApplicationId};
use turnpike_domain::time::UnixMs;
use turnpike_store::keys::KeyPolicy;

use super::{Limits, LimitsConfig, Tick};
use crate::keys::CompiledPolicy;

const KEY: ApiKeyId = ApiKeyId(7);
const APP: ApplicationId = ApplicationId(3);
/// 2026-11-22T12:00:00Z, when the process started.
const NOON: UnixMs = UnixMs(1_795_348_800_000);

fn limits() -> Limits {
    Limits::new(LimitsConfig::default())
}

fn policy(change: impl FnOnce(&mut KeyPolicy)) -> CompiledPolicy {
    let mut policy = KeyPolicy::default();
    change(&mut policy);
    CompiledPolicy::compile(&policy).expect("a sound policy")
}

/// So many microseconds after the start.
fn us(us: u64) -> Tick {
    Tick(Tick::START.0 + us)
}

fn ms(ms: u64) -> Tick {
    us(ms * 1_000)
}

/// What the wall clock shows at an instant of a process that started at `start`.
fn wall(start: UnixMs, at: Tick) -> UnixMs {
    start.plus_ms(i64::try_from((at.0 - Tick::START.0) / 1_000).expect("a test is short"))
}
