//! The query of a send: `mmlite` and `is_fake`, and nothing else (contract §3).
//!
//! An unknown, repeated or otherwise valued parameter is refused: a misspelt flag must not send for
//! real.

use percent_encoding::percent_decode_str;
use turnpike_domain::refusal::FieldFault;
use turnpike_engine::send::SendFlags;

/// The flags that a query says; every faulty parameter is named.
///
/// # Errors
/// A fault `query.<name>` for each.
pub fn send_flags(query: Option<&str>) -> Result<SendFlags, Vec<FieldFault>> {
    let mut flags = SendFlags::default();
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(flags) };
    let mut faults = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name), decoded(value));
        if seen.contains(&name) {
            faults.push(FieldFault::new(format!("query.{}", shown(&name)), "must be given once"));
            continue;
        }
        let target = match name.as_str() {
            "mmlite" => &mut flags.mmlite,
            "is_fake" => &mut flags.is_fake,
            _ => {
                faults.push(FieldFault::new(
                    format!("query.{}", shown(&name)),
                    "is not a parameter of this request; it knows mmlite and is_fake",
                ));
                seen.push(name);
                continue;
            }
        };
        match value.as_str() {
            "true" | "1" => *target = true,
            "false" | "0" => *target = false,
            _ => faults.push(FieldFault::new(format!("query.{name}"), "must be true, false, 1 or 0")),
        }
        seen.push(name);
    }
    if faults.is_empty() { Ok(flags) } else { Err(faults) }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A caller's own word inside our answer: short, and without what a terminal would obey.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_flags_are_read_in_any_spelling_of_the_contract() {
        for (query, mmlite, is_fake) in [
            (None, false, false),
            (Some(""), false, false),
            (Some("mmlite=true"), true, false),
            (Some("mmlite=0&is_fake=1"), false, true),
            (Some("is%5Ffake=true"), false, true),
        ] {
            assert_eq!(send_flags(query), Ok(SendFlags { mmlite, is_fake }), "{query:?}");
        }
    }

    #[test]
    fn a_misspelt_flag_does_not_send_for_real() {
        for (query, path) in [
            ("isfake=true", "query.isfake"),
            ("is_fake=yes", "query.is_fake"),
            ("is_fake", "query.is_fake"),
            ("is_fake=true&is_fake=true", "query.is_fake"),
            ("IS_FAKE=true", "query.IS_FAKE"),
        ] {
            let faults = send_flags(Some(query)).expect_err(query);
            assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), [path], "{query}");
        }
    }
}
