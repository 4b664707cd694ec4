//! Mark-as-read and typing: the only requests to this endpoint that send nobody a message.
//!
//! They are never charged, so nothing else may ride along: any further member is a fault
//! (contract §3.1).

use super::place::{Faults, Optional, Place, Required};

const MEMBERS: [&str; 4] = ["messaging_product", "status", "message_id", "typing_indicator"];

/// Longest unknown member name that a fault repeats.
const NAME_SHOWN_MAX: usize = 64;

pub(super) fn check(root: &Place<'_>, faults: &mut Faults) {
    root.word("status", Required, &["read"], faults);
    root.filled("message_id", Required, faults);
    if let Some(typing) = root.object("typing_indicator", Optional, faults) {
        typing.word("type", Required, &["text"], faults);
    }
    for (number, (name, _)) in root.value().members().enumerate() {
        let name = name.text();
        if MEMBERS.contains(&&*name) {
            continue;
        }
        let problem = "is not allowed beside `status`, which marks a message as read and sends nothing";
        // A name that is no field's name could be anybody's data.
        let showable = name.len() <= NAME_SHOWN_MAX
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'));
        if showable {
            root.fault(&name, problem, faults);
        } else {
            root.fault(&format!("(member {})", number + 1), problem, faults);
        }
    }
}
