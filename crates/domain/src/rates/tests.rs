//! The promises of cards, schedules and prices.
