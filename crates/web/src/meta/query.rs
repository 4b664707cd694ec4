//! The query of Meta's handshake: `hub.mode`, `hub.verify_token`, `hub.challenge`.

use percent_encoding::percent_decode;

/// The longest challenge that is given back (reliability §c3); Meta's are some ten digits.
const CHALLENGE_MAX: usize = 256;

/// What Meta asks in a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// The words that only we and Meta know.
    pub(super) verify_token: Vec<u8>,
    /// What to give back.
    pub(super) challenge: Vec<u8>,
}

/// Reads a handshake; `None` where it is none, or names something twice.
pub(super) fn handshake(query: Option<&str>) -> Option<Handshake> {
    let (mut mode, mut verify_token, mut challenge) = (None, None, None);
    for pair in query?.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match decoded(name).as_slice() {
            b"hub.mode" => &mut mode,
            b"hub.verify_token" => &mut verify_token,
            b"hub.challenge" => &mut challenge,
            _ => continue,
        };
        if place.replace(decoded(value)).is_some() {
            return None;
        }
    }
    let challenge = challenge.filter(|challenge| challenge.len() <= CHALLENGE_MAX)?;
    (mode? == b"subscribe").then_some(Handshake { verify_token: verify_token?, challenge })
}

/// As forms are written: `+` is a space.
fn decoded(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_read_as_meta_writes_it() {
        let asked = handshake(Some("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=our+own%20words%2B"));
        assert_eq!(asked, Some(Handshake { verify_token: b"our own words+".to_vec(), challenge: b"1158201444".to_vec() }));
        assert!(handshake(Some("hub%2Emode=subscribe&hub.challenge=&hub.verify_token=x&more=1")).is_some());
    }

    #[test]
    fn what_is_no_handshake_is_none() {
        let long = format!("hub.mode=subscribe&hub.verify_token=x&hub.challenge={}", "1".repeat(CHALLENGE_MAX + 1));
        for query in [
            None,
            Some(""),
            Some("hub.mode=subscribe&hub.verify_token=x"),
            Some("hub.mode=subscribe&hub.challenge=1"),
            Some("hub.mode=unsubscribe&hub.verify_token=x&hub.challenge=1"),
            Some("hub.verify_token=x&hub.challenge=1"),
            Some("hub.mode=subscribe&hub.verify_token=x&hub.verify_token=y&hub.challenge=1"),
            Some(long.as_str()),
        ] {
            assert_eq!(handshake(query), None, "{query:?}");
        }
    }
}
