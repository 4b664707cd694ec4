//! SQLite, the engine that starts with the binary.
