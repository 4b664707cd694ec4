//! `POST /{app}/uploads` and `/upload:…`: files that are uploaded in steps, for the examples of a
//! template's media header and for profile pictures. What comes of it is a handle, `4::…`.
//!
//! Of the bytes only their number is kept: nobody ever asks for them again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde_json::json;

use super::error::GraphError;
use super::request::GraphRequest;
use super::{Found, Taking, unknown_object};
use crate::exchange::World;
use crate::media::FILE_MAX;

/// What the id of an upload begins with.
const PREFIX: &str = "upload:";

/// Types that Meta takes here.
const TYPES: &[&str] = &["application/pdf", "image/jpeg", "image/jpg", "image/png", "video/mp4"];

/// Uploads that are remembered; the oldest is forgotten first.
const UPLOADS_MAX: usize = 1_000;

/// Whether an id is an upload's.
pub(crate) fn is_upload(object_id: &str) -> bool {
    object_id.starts_with(PREFIX)
}

/// Whether a path is an upload's, so that its body is a file.
pub(crate) fn takes_a_file(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(is_upload)
}

/// The uploads that were begun.
#[derive(Default)]
pub(crate) struct Uploads {
    inner: Mutex<Begun>,
}

#[derive(Default)]
struct Begun {
    by_id: HashMap<String, Upload>,
    order: VecDeque<String>,
}

struct Upload {
    length: usize,
    kind: String,
    come: usize,
    sum: digest::Context,
}

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, Begun> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /{app}/uploads?file_name=&file_length=&file_type=`.
pub(super) fn begin(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let number = || request.body.object()?.get("file_length")?.as_u64().map(|length| length.to_string());
    let length = request.parameter("file_length").or_else(number);
    let length = length.ok_or_else(|| GraphError::parameter("The parameter file_length is required."))?;
    let length = length.parse().ok().filter(|length| (1..=FILE_MAX).contains(length));
    let length = length.ok_or_else(|| GraphError::parameter(format!("Param file_length must be 1 to {FILE_MAX}")))?;
    let kind = request.parameter("file_type").ok_or_else(|| GraphError::parameter("The parameter file_type is required."))?;
    if !TYPES.contains(&kind.to_ascii_lowercase().as_str()) {
        return Err(GraphError::parameter(format!("Param file_type must be one of {{{}}}", TYPES.join(", "))));
    }
    let id = format!("{PREFIX}{}", hex::encode(world.chance.trace()));
    if taking == Taking::Takes {
        let mut begun = world.uploads.lock();
        if begun.order.len() >= UPLOADS_MAX
            && let Some(oldest) = begun.order.pop_front()
        {
            begun.by_id.remove(&oldest);
        }
        begun.order.push_back(id.clone());
        begun.by_id.insert(id.clone(), Upload { length, kind, come: 0, sum: digest::Context::new(&digest::SHA256) });
    }
    Ok(Found::json(&json!({"id": id})))
}

/// `POST /upload:…`, with `file_offset` as a header: the bytes from there to the end of the file.
/// Where they end before it, what came is kept, and the answer says how far that is.
pub(super) fn go_on(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let mut begun = world.uploads.lock();
    let upload = begun.by_id.get_mut(request.object_id).ok_or_else(|| unknown_object("POST", request.object_id))?;
    let offset = request.head.header("file_offset").ok_or_else(|| GraphError::parameter("The header file_offset is required."))?;
    if offset.parse() != Ok(upload.come) {
        return Err(GraphError::parameter(format!("The header file_offset must be {}: so many bytes have come.", upload.come)));
    }
    let bytes = request.body.file.as_deref().unwrap_or_default();
    let come = upload.come + bytes.len();
    if come > upload.length {
        return Err(GraphError::parameter(format!("The file has more than the {} bytes of its file_length.", upload.length)));
    }
    let mut sum = upload.sum.clone();
    sum.update(bytes);
    if taking == Taking::Takes {
        upload.come = come;
        upload.sum = sum.clone();
    }
    if come < upload.length {
        let missing = format!("{come} of {} bytes have come; go on with file_offset: {come}.", upload.length);
        return Err(GraphError::parameter(missing));
    }
    let handle = format!("4::{}:{}", STANDARD.encode(&upload.kind), STANDARD.encode(sum.finish()));
    Ok(Found::json(&json!({"h": handle})))
}

/// `GET /upload:…`: how far it has come.
pub(super) fn progress(world: &World, request: &GraphRequest<'_>) -> Result<Found, GraphError> {
    let begun = world.uploads.lock();
    let upload = begun.by_id.get(request.object_id).ok_or_else(|| unknown_object("GET", request.object_id))?;
    Ok(Found::json(&json!({"id": request.object_id, "file_offset": upload.come})))
}
