//! Addresses that are refused, in every spelling, and their public neighbours, which are not.
