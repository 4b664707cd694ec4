//! ledger: under construction in this change.
