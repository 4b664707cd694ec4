//! market: under construction in this change.
