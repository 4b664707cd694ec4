//! URLs and headers that customers may and may not set.
