//! Bodies that are no JSON: `multipart/form-data` for files, and forms.

use bytes::Bytes;
use ring::digest;
use serde_json::{Map, Value, json};

use super::request::decode;

/// Parts of one form; more is an attack on ourselves.
const PARTS_MAX: usize = 64;

/// One part of a multipart form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: Bytes,
}

/// The parts of a form; `None` where the bytes are none with this content type.
pub(crate) fn multipart(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter begins the body, so it has no line break before it.
    let mut at = find(body, &delimiter[2..], 0)? + delimiter.len() - 2;
    let mut parts = Vec::new();
    while !body[at..].starts_with(b"--") {
        if parts.len() >= PARTS_MAX {
            return None;
        }
        let begin = find(body, b"\r\n", at)? + 2;
        let head_end = find(body, b"\r\n\r\n", begin.checked_sub(2)?)?;
        let head = if head_end < begin { "" } else { std::str::from_utf8(&body[begin..head_end]).ok()? };
        let content = head_end + 4;
        let end = find(body, &delimiter, content.checked_sub(2)?)?;
        parts.push(part(head, Bytes::copy_from_slice(body.get(content..end).unwrap_or_default()))?);
        at = end + delimiter.len();
    }
    Some(parts)
}

fn part(head: &str, bytes: Bytes) -> Option<Part> {
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    let parameter = |wanted: &str| {
        disposition.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    Some(Part { name: parameter("name")?, filename: parameter("filename"), content_type: header("content-type").map(str::to_owned), bytes })
}

/// What the record keeps of a form: every field, and of files their measures.
pub(crate) fn summary(parts: &[Part]) -> Value {
    let field = |part: &Part| {
        let value = match &part.filename {
            None => String::from_utf8_lossy(&part.bytes).into_owned().into(),
            Some(filename) => {
                let mut measures = measures(&part.bytes);
                measures["filename"] = filename.as_str().into();
                measures["type"] = part.content_type.as_deref().into();
                measures
            }
        };
        (part.name.clone(), value)
    };
    Value::Object(parts.iter().map(field).collect())
}

/// What the record keeps of a file.
pub(crate) fn measures(file: &[u8]) -> Value {
    json!({"bytes": file.len(), "sha256": hex::encode(digest::digest(&digest::SHA256, file))})
}

/// `a=1&b=2` as the members that a JSON body would have.
pub(crate) fn urlencoded(body: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(body).ok()?;
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').map(|(name, value)| (decode(name), decode(value).into()))).collect()
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        at += rest.iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_out_as_they_went_in() {
        let body = b"preamble\r\n--x\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nimage/png\r\n--x\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"a b.png\"\r\nContent-Type: image/png\r\n\r\n\x89\r\n--y\r\n\0\r\n--x--\r\n";
        let parts = multipart("multipart/form-data; boundary=\"x\"", body).expect("a form");
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), &parts[0].bytes[..]), ("type", b"image/png".as_slice()));
        assert_eq!(parts[1].filename.as_deref(), Some("a b.png"));
        assert_eq!(&parts[1].bytes[..], b"\x89\r\n--y\r\n\0");
        assert_eq!(summary(&parts)["file"]["bytes"], 9);
    }

    #[test]
    fn what_is_no_form_is_none() {
        for (kind, body) in [
            ("multipart/form-data; boundary=x", b"--x\r\nno end".as_slice()),
            ("multipart/form-data", b"--x--"),
            ("application/json", b"{}"),
            ("multipart/form-data; boundary=x", b""),
            ("multipart/form-data; boundary=x", b"--x"),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--"),
        ] {
            assert_eq!(multipart(kind, body), None, "{kind}");
        }
        assert_eq!(multipart("multipart/form-data; boundary=x", b"--x--"), Some(Vec::new()));
    }

    #[test]
    fn an_empty_file_is_a_file() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n--x--";
        let parts = multipart("multipart/form-data; boundary=x", body).expect("a form");
        assert!(parts[0].bytes.is_empty());
    }
}
