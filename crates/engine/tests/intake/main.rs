//! Intake end to end over a real database: signed POSTs in, events, money, windows and quarantine
//! out; and what time decides where nothing comes in.

#[expect(dead_code, reason = "the house is shared with the tests of sends, and each uses its own part")]
#[path = "../send/house.rs"]
mod house;
#[expect(dead_code, reason = "so is the scripted Meta")]
#[path = "../send/meta.rs"]
mod meta;

mod erasure;
mod kinds;
mod money;
mod notices;
mod pace;
mod poison;
mod posts;
mod routing;
mod signatures;
mod slow;
mod sweeper;
mod windows;
