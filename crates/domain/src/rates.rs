//! rates: under construction in this change.
