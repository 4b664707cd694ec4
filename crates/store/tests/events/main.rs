//! What the store makes of what Meta reports: state, money, deliveries and notices in one commit,
//! repeats that change nothing, and what is left of it after a crash, with time, and after erasure.

mod forgetting;
#[expect(dead_code, reason = "the sends' tests use the rest of it")]
#[path = "../sends/house.rs"]
mod house;
mod intake;
mod money;
mod pace;
mod poison;
mod repeats;
mod story;
mod sweeps;
