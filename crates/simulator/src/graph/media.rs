//! `POST /{number}/media`, `GET` and `DELETE /{media}`, and the files themselves.

use serde_json::json;

use super::auth::SANDBOX_PREFIX;
use super::error::GraphError;
use super::form::Part;
use super::request::{Body, GraphRequest};
use super::{Found, Taking, Trace, unknown_object};
use crate::exchange::{Answer, Head, World};
use crate::media::{FILE_MAX, File, Origin};

/// MIME types with their largest files; what Meta lists by name.
const TYPES: &[(&str, usize)] = &[
    ("image/jpeg", 5 * MB),
    ("image/png", 5 * MB),
    ("image/webp", 500_000),
    ("audio/aac", 16 * MB),
    ("audio/amr", 16 * MB),
    ("audio/mpeg", 16 * MB),
    ("audio/mp4", 16 * MB),
    ("audio/ogg", 16 * MB),
    ("audio/opus", 16 * MB),
    ("video/mp4", 16 * MB),
    ("video/3gpp", 16 * MB),
];

/// A megabyte as Meta's limits count it, in the laxer reading.
const MB: usize = 1024 * 1024;

/// `POST /{number}/media`.
pub(super) fn upload(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let Some(parts) = &request.body.form else {
        return Err(GraphError::parameter("The body must be multipart/form-data with messaging_product, file and type."));
    };
    let part = |name: &str| parts.iter().find(|part| part.name == name);
    let text = |name: &str| part(name).map(|part| String::from_utf8_lossy(&part.bytes).into_owned());
    match text("messaging_product") {
        None => return Err(GraphError::parameter("The parameter messaging_product is required.")),
        Some(product) if product.eq_ignore_ascii_case("whatsapp") => {}
        Some(_) => return Err(GraphError::parameter("Param messaging_product must be one of {WHATSAPP}")),
    }
    let Some(file) = part("file") else {
        return Err(GraphError::parameter("The parameter file is required."));
    };
    let mime_type = mime_type(file, text("type").as_deref())?;
    let longest = longest(&mime_type).ok_or_else(|| {
        let known: Vec<&str> = TYPES.iter().map(|(kind, _)| *kind).collect();
        GraphError::parameter(format!(
            "Param file must be a file with one of the following types: {}, text/plain, application/pdf and other documents. \
             Received file of type '{mime_type}'.",
            known.join(", ")
        ))
    })?;
    if file.bytes.is_empty() {
        return Err(GraphError::new(131_053, "The file is empty."));
    }
    if file.bytes.len() > longest {
        let details = format!("The file has {} bytes; files of the type {mime_type} may have at most {longest}.", file.bytes.len());
        return Err(GraphError::new(131_053, details));
    }
    let id = world.chance.digits().to_string();
    if taking == Taking::Takes {
        world.media.keep(id.clone(), request.object_id, &mime_type, file.bytes.clone(), Origin::Uploaded, world.clock.now());
    }
    Ok(Found::json(&json!({"id": id})))
}

/// The type that is claimed: by `type`, or by the file's part.
fn mime_type(file: &Part, given: Option<&str>) -> Result<String, GraphError> {
    let claimed = given.filter(|kind| kind.contains('/')).or(file.content_type.as_deref());
    match claimed {
        Some(kind) if !kind.is_empty() => Ok(kind.trim().to_ascii_lowercase()),
        _ => Err(GraphError::parameter("The parameter type is required.")),
    }
}

/// The largest file of a type. Documents of types that Meta does not list pass.
fn longest(mime_type: &str) -> Option<usize> {
    let plain = mime_type.split(';').next().unwrap_or_default().trim();
    let listed = TYPES.iter().find(|(kind, _)| *kind == plain).map(|(_, longest)| *longest);
    listed.or_else(|| (plain.starts_with("application/") || plain.starts_with("text/")).then_some(FILE_MAX))
}

/// `GET /{media}`.
pub(super) fn read(world: &World, request: &GraphRequest<'_>) -> Result<Found, GraphError> {
    let file = find(world, request)?;
    let at = world.clock.now();
    let base_url = match request.head.header("host") {
        Some(host) => format!("{}://{host}", world.scheme),
        None => world.base_url.clone(),
    };
    Ok(Found::json(&json!({
        "messaging_product": "whatsapp",
        "url": world.media.url(&base_url, &file, at),
        "mime_type": file.mime_type,
        "sha256": hex::encode(file.sha256),
        "file_size": file.bytes.len(),
        "id": file.id,
    })))
}

/// `DELETE /{media}`.
pub(super) fn delete(world: &World, request: &GraphRequest<'_>, taking: Taking) -> Result<Found, GraphError> {
    let file = find(world, request)?;
    if taking == Taking::Takes {
        world.media.remove(&file.id);
    }
    Ok(Found::json(&json!({"success": true})))
}

fn find(world: &World, request: &GraphRequest<'_>) -> Result<std::sync::Arc<File>, GraphError> {
    let unknown = || unknown_object(&request.head.method, request.object_id);
    let file = world.media.find(request.object_id, world.clock.now()).ok_or_else(unknown)?;
    match request.query("phone_number_id") {
        Some(number) if number != file.phone_number_id => Err(unknown()),
        _ => Ok(file),
    }
}

/// Whose id the token must be good for: the number's that the file was asked for, else the file's own.
/// Who asks for another's file by a number of his own hears what an unknown id hears, as at Meta. No
/// edge hangs on a file, so a send is not looked up.
pub(super) fn owner(world: &World, request: &GraphRequest<'_>) -> Option<String> {
    if request.edge.is_some() {
        return None;
    }
    let own = || world.media.find(request.object_id, world.clock.now()).map(|file| file.phone_number_id.clone());
    request.query("phone_number_id").or_else(own)
}

/// Whether the call is about a file, be it there or not (any more).
pub(super) fn is_meant(world: &World, request: &GraphRequest<'_>) -> bool {
    !request.object_id.starts_with(SANDBOX_PREFIX)
        && request.edge.is_none()
        && (world.media.knew(request.object_id) || request.head.method == "DELETE" || request.query("phone_number_id").is_some())
}

/// The file behind a URL, for whoever holds a token that is good for its number.
pub(crate) fn download(world: &World, head: &Head, body: &Body) -> Answer {
    let trace = Trace::new(world, None);
    let Some(file) = world.media.fetch(&head.query, world.clock.now()) else {
        return trace.error(&GraphError::platform(
            404,
            "GraphMethodException",
            100,
            Some(33),
            "The file does not exist, or its URL is older than five minutes.".to_owned(),
        ));
    };
    let request =
        GraphRequest { head, version: "v23.0", object_id: &file.phone_number_id, edge: None, deeper: false, body, handshake_problem: None };
    if let Err(error) = world.door.check(&request, &file.phone_number_id) {
        return trace.error(&error);
    }
    let mut answer = trace.answer(200, file.bytes.to_vec());
    for (name, value) in &mut answer.headers {
        if *name == "content-type" {
            value.clone_from(&file.mime_type);
        }
    }
    answer
}
