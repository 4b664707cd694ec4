//! Endpoints and deliveries as the store keeps them: who may see what, who holds what, what an
//! attempt leaves, what is found again, and where a backlog ends.

mod attempts;
mod backlogs;
mod claims;
mod endpoints;
mod fresh;
#[expect(dead_code, reason = "the sends' tests use the rest of it")]
#[path = "../sends/house.rs"]
mod house;
mod lists;
mod setting;
#[expect(dead_code, reason = "the events' tests use the rest of it")]
#[path = "../events/story.rs"]
mod story;
