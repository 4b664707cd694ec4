//! api_key: under construction in this change.
