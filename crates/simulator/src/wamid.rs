//! Message ids as Meta makes them: a Thrift-compact struct in base64.
//!
//! `wamid.` + base64(`1C 18 <len> <who> 15 02 00 11 18 12 <18 hex> 00`), where
//! `<who>` is the user's digits (or the business-scoped id of a user whose
//! number is hidden) and `11` says that it went from business to user. Programs
//! must treat it as opaque; ours has the true layout so that code which peeks,
//! splits or url-encodes meets the real `/`, `+` and `=`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The id of a message from a business to `user`.
pub(crate) fn outbound(user: &str, id: [u8; 9]) -> String {
    let who = &user.as_bytes()[..user.len().min(usize::from(u8::MAX))];
    let mut bytes = vec![0x1c, 0x18, u8::try_from(who.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(who);
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x11, 0x18, 0x12]);
    bytes.extend_from_slice(hex::encode_upper(id).as_bytes());
    bytes.push(0x00);
    format!("wamid.{}", STANDARD.encode(bytes))
}

/// The id of a message from `user` to a business.
pub(crate) fn inbound(user: &str, id: [u8; 9]) -> String {
    let who = &user.as_bytes()[..user.len().min(usize::from(u8::MAX))];
    let mut bytes = vec![0x1c, 0x18, u8::try_from(who.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(who);
    // Twenty characters that begin with 3A, as phones make them.
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x12, 0x18, 0x14]);
    bytes.extend_from_slice(b"3A");
    bytes.extend_from_slice(hex::encode_upper(id).as_bytes());
    bytes.push(0x00);
    format!("wamid.{}", STANDARD.encode(bytes))
}

/// Whether `text` has the shape of a message id, so that a reply, a reaction or
/// a read mark to it can be taken. Old `gBGG…` ids pass too.
pub(crate) fn plausible(text: &str) -> bool {
    text.strip_prefix("wamid.").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_metas_own_example() {
        let id = [0x4a, 0xd6, 0x20, 0x84, 0xf2, 0xfa, 0x16, 0x32, 0xde];
        assert_eq!(outbound("16503879439", id), "wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA");
    }

    #[test]
    fn only_ids_pass_for_ids() {
        assert!(plausible("wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA"));
        assert!(!plausible("wamid."));
        assert!(!plausible("HBgLMTY1"));
        assert!(!plausible("wamid.not an id"));
    }
}
