//! The promises of the market table, against Meta's list written out a second time.
