//! Payloads of every type and field, read into items.
