//! JSON text read in place: spans instead of copies, so that bytes can be passed on as they came.
//!
//! What callers send is read strictly (contract §3.1); what Meta sends is read leniently, because
//! refusing it would lose it.

pub(crate) mod scan;
pub(crate) mod value;

pub(crate) use scan::Kind;
pub(crate) use value::{Document, Value};
