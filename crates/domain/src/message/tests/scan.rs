//! What the scanner promises.
