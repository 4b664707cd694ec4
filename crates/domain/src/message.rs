//! message: under construction in this change.
