//! The way of a send, end to end over a real database: every end of the table at the head of
//! `send/owned.rs`, callers who leave, stores that fail, restarts, repeats, limits and prices.

mod chaos;
mod ends;
mod house;
mod isolation;
mod late;
mod leaving;
mod limits;
mod meta;
mod modes;
mod prices;
mod repeats;
mod restarts;
mod store_trouble;
mod templates;
mod zones;
