//! template: under construction in this change.
