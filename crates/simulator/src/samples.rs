//! Small files for users who send a picture and have none: each is what its MIME
//! type says, so that a receiver may open it. (The video is a container without
//! frames.)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A green square of 8 × 8 pixels.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mNQvZyGFTEMLQkAIIZXgf05jk0AAAAASUVORK5CYII=";

/// One transparent pixel.
const WEBP: &str = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==";

/// A file for this type of message, and its MIME type.
pub(crate) fn of(kind: &str) -> (Vec<u8>, &'static str) {
    match kind {
        "audio" => (opus(), "audio/ogg; codecs=opus"),
        "video" => (mp4(), "video/mp4"),
        "document" => (pdf(), "application/pdf"),
        "sticker" => (decoded(WEBP), "image/webp"),
        _ => (decoded(PNG), "image/png"),
    }
}

fn decoded(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).expect("the sample above is base64")
}

/// 20 ms of silence: Ogg pages (RFC 3533) with Opus in them (RFC 7845).
fn opus() -> Vec<u8> {
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend_from_slice(&[0x38, 0x01]); // 312 samples to skip
    head.extend_from_slice(&48_000_u32.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&9_u32.to_le_bytes());
    tags.extend_from_slice(b"simulator");
    tags.extend_from_slice(&0_u32.to_le_bytes());
    let silence = [0xf8, 0xff, 0xfe];
    let mut bytes = ogg_page(0x02, 0, 0, &head);
    bytes.extend(ogg_page(0, 0, 1, &tags));
    bytes.extend(ogg_page(0x04, 960, 2, &silence));
    bytes
}

/// A page with one packet of less than 255 bytes.
fn ogg_page(flags: u8, position: u64, number: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend_from_slice(&position.to_le_bytes());
    page.extend_from_slice(&1_u32.to_le_bytes());
    page.extend_from_slice(&number.to_le_bytes());
    page.extend_from_slice(&[0; 4]);
    page.push(1);
    page.push(u8::try_from(packet.len()).expect("our packets are short"));
    page.extend_from_slice(packet);
    let sum = ogg_sum(&page);
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

/// CRC-32 with polynomial 04C11DB7, most significant bit first, begun at 0.
fn ogg_sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 })
    })
}

/// `ftyp` and a `moov` that says "no tracks" (ISO 14496-12).
fn mp4() -> Vec<u8> {
    let mut movie_head = vec![0; 100];
    movie_head[14..16].copy_from_slice(&1_000_u16.to_be_bytes()); // time scale
    movie_head[20..24].copy_from_slice(&0x0001_0000_u32.to_be_bytes()); // rate 1.0
    movie_head[24..26].copy_from_slice(&0x0100_u16.to_be_bytes()); // volume 1.0
    for (at, one) in [(36, 0x0001_0000_u32), (52, 0x0001_0000), (68, 0x4000_0000)] {
        movie_head[at..at + 4].copy_from_slice(&one.to_be_bytes()); // the unit matrix
    }
    movie_head[99] = 1; // the next track's number
    let mut bytes = mp4_box(b"ftyp", b"isom\0\0\x02\0isommp42");
    bytes.extend(mp4_box(b"moov", &mp4_box(b"mvhd", &movie_head)));
    bytes
}

fn mp4_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).expect("our boxes are short");
    [&length.to_be_bytes(), name.as_slice(), content].concat()
}

/// One empty page.
fn pdf() -> Vec<u8> {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
    ];
    let mut text = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (n, object) in objects.iter().enumerate() {
        places.push(text.len());
        text.push_str(&format!("{} 0 obj\n{object}\nendobj\n", n + 1));
    }
    let table = text.len();
    text.push_str("xref\n0 4\n0000000000 65535 f \n");
    for place in places {
        text.push_str(&format!("{place:010} 00000 n \n"));
    }
    text.push_str(&format!("trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"));
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_begins_as_its_type_does() {
        for (kind, begin) in [
            ("image", b"\x89PNG".as_slice()),
            ("audio", b"OggS"),
            ("video", b"\0\0\0\x18ftypisom"),
            ("document", b"%PDF-"),
            ("sticker", b"RIFF"),
        ] {
            assert!(of(kind).0.starts_with(begin), "{kind}");
        }
    }

    #[test]
    fn the_sum_of_a_page_is_the_published_one() {
        // The check value of CRC-32/MPEG-2's polynomial begun at 0, over "123456789".
        assert_eq!(ogg_sum(b"123456789"), 0x89a1_897f);
    }
}
