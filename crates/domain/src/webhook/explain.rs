//! Why Meta could not deliver a message, in plain words, with what to do: for the timeline.
//!
//! The codes are those of `failed` statuses (meta-cloud-api §3.2, path W or B). What a code means in
//! the answer to a send is told elsewhere, where classes and waits are decided with it.

/// A failure, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What happened: a sentence.
    pub what_happened: &'static str,
    /// What to do next: a sentence or two.
    pub what_to_do: &'static str,
    /// Whether sending it again can help.
    pub again: Again,
}

/// Whether sending again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Again {
    /// Not to this user.
    Never,
    /// Not as it is: message, template or account must change first.
    AfterAChange,
    /// Later, as it is; not before so many seconds.
    Later(u32),
}

/// What a failed status' code means; also for a code that nobody has listed.
#[must_use]
pub fn explain(code: i64) -> Explanation {
    match TABLE.binary_search_by_key(&code, |(listed, _)| *listed) {
        Ok(at) => TABLE[at].1,
        Err(_) if (132_000..133_000).contains(&code) => OTHER_TEMPLATE_FAULT,
        Err(_) => UNLISTED,
    }
}

const HOUR: u32 = 3_600;

const fn row(code: i64, again: Again, what_happened: &'static str, what_to_do: &'static str) -> (i64, Explanation) {
    (code, Explanation { what_happened, what_to_do, again })
}

const UNLISTED: Explanation = Explanation {
    what_happened: "Meta could not deliver the message, for a reason that this gateway does not know.",
    what_to_do: "Read Meta's title and details beside this, and look the code up in Meta's list of error codes.",
    again: Again::AfterAChange,
};

const OTHER_TEMPLATE_FAULT: Explanation = Explanation {
    what_happened: "Meta refused the template or its parameters.",
    what_to_do: "Compare the message with the template as Meta holds it now, then send again.",
    again: Again::AfterAChange,
};

use Again::{AfterAChange, Later, Never};

/// By code, ascending.
#[rustfmt::skip]
const TABLE: &[(i64, Explanation)] = &[
    row(368, AfterAChange, "Meta has restricted the business account for breaking its policies.", "The account's owner must settle this in Meta's Business Support before anything else is sent."),
    row(130_403, Never, "The business has blocked this user.", "Unblock the user, if the message is still wanted."),
    row(130_429, Later(5), "The number sent faster than Meta allows it to.", "Send again a little later, and more slowly."),
    row(130_472, Never, "The user is part of an experiment in which Meta holds back marketing messages.", "Do not send it again; use another channel. Nothing was charged."),
    row(130_497, Never, "This account may not message users in the recipient's country.", "Use another channel for this country, or ask Meta's support which countries are open to the account."),
    row(131_000, Later(60), "Something went wrong at Meta.", "Send it again once or twice; if it fails again, give Meta's support the message's id."),
    row(131_005, AfterAChange, "Meta denied the account access.", "The account's owner must check its permissions at Meta."),
    row(131_008, AfterAChange, "A field that Meta needs was missing.", "Meta's details name it; add it and send again."),
    row(131_009, AfterAChange, "A value of the message was not valid.", "Meta's details name it; correct it and send again."),
    row(131_016, Later(60), "Meta's service was not available.", "Send it again later; Meta's status page tells of longer outages."),
    row(131_021, AfterAChange, "The recipient is the sending number itself.", "Choose another recipient."),
    row(131_026, Never, "Meta could not deliver to this user: the number is not on WhatsApp, has an old app, has not accepted WhatsApp's terms, or has blocked the business.", "Check the number with the user. Do not send again soon; use another channel."),
    row(131_031, AfterAChange, "Meta has locked the business account.", "The account's owner must settle this with Meta before anything else is sent."),
    row(131_037, AfterAChange, "The sending number has no approved display name.", "Have a display name approved at Meta, then send again."),
    row(131_042, AfterAChange, "Meta found a problem with the account's payment method, so it delivers nothing that costs.", "Whoever pays Meta must mend the payment method in Meta's billing settings; then send again."),
    row(131_043, AfterAChange, "The message expired before the user's device could take it.", "Decide whether it is still worth sending; a template's time to live can be set longer."),
    row(131_044, AfterAChange, "Meta found a problem with the payment for calls.", "Whoever pays Meta must mend it in Meta's billing settings."),
    row(131_045, AfterAChange, "The sending number is not properly registered.", "The operator must register the number again."),
    row(131_047, AfterAChange, "More than 24 hours had passed since the user last wrote, so only a template may be sent.", "Send an approved template; a free message can follow when the user has answered."),
    row(131_048, Later(6 * HOUR), "Too many of this number's messages were blocked or reported, so Meta limits the number.", "Pause for some hours, look at the number's quality at Meta, and message only users who asked for it."),
    row(131_049, Later(24 * HOUR), "Meta held the message back, because this user gets too many marketing messages (or has a number in the USA).", "Do not send it again within 24 hours: repeats are penalised. A user who writes first can be answered."),
    row(131_050, Never, "The user has stopped marketing messages from this business.", "Send this user no marketing until the user resumes it. Service and utility messages are still allowed."),
    row(131_051, AfterAChange, "WhatsApp does not support this type of message for this user.", "Send it as another type, such as text."),
    row(131_052, AfterAChange, "Meta could not download the media that the user sent.", "Ask the user to send it again, smaller where it is large."),
    row(131_053, AfterAChange, "Meta could not fetch or use the media of the message.", "Check that the link is public, answers quickly, and that its type and size are allowed and match its Content-Type; then send again."),
    row(131_056, Later(60), "Too many messages went from this number to this user in a short time.", "Wait a minute, then send again; keep to one message in six seconds for one user."),
    row(131_064, Later(24 * HOUR), "Meta limits this account, because templates were filed under a wrong category.", "Correct the templates' categories and wait until Meta's limit has passed."),
    row(132_000, AfterAChange, "The number of parameters is not the template's.", "Give as many parameters as the template has variables."),
    row(132_001, AfterAChange, "The template does not exist in this language, or is not approved.", "Check name and language, and that Meta has approved it."),
    row(132_005, AfterAChange, "The template's text is too long with these parameters.", "Shorten the parameters."),
    row(132_007, AfterAChange, "The template's content breaks a policy of Meta's.", "Change the template at Meta."),
    row(132_012, AfterAChange, "A parameter is of another kind than the template wants.", "Compare the parameters with the template's definition."),
    row(132_015, AfterAChange, "Meta has paused the template, because users did not like it; held messages were dropped.", "Wait until Meta lifts the pause, or use another template; edit it if it is paused again and again."),
    row(132_016, AfterAChange, "Meta has disabled the template for good, because users did not like it.", "Create another template with other content."),
    row(137_000, AfterAChange, "The user's identity has changed since it was last confirmed.", "Confirm the user's identity, then send with the new hash."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_failed_status_is_explained_in_sentences() {
        assert!(TABLE.is_sorted_by(|one, next| one.0 < next.0));
        // Path W and B of meta-cloud-api §3.2, but for what an inbound message alone can have.
        for code in [
            368, 130_403, 130_429, 130_472, 130_497, 131_000, 131_009, 131_016, 131_026, 131_031, 131_037, 131_042, 131_043, 131_044,
            131_045, 131_047, 131_048, 131_049, 131_050, 131_051, 131_052, 131_053, 131_056, 131_064, 132_015, 132_016, 137_000,
        ] {
            assert_ne!(explain(code), UNLISTED, "{code}");
        }
        let texts = TABLE.iter().map(|(_, row)| *row).chain([UNLISTED, OTHER_TEMPLATE_FAULT]);
        for text in texts.flat_map(|row| [row.what_happened, row.what_to_do]) {
            assert!(text.len() > 20 && text.ends_with('.') && !text.contains("please"), "{text}");
        }
    }

    #[test]
    fn a_code_that_nobody_listed_is_explained_too() {
        assert_eq!(explain(-1), UNLISTED);
        assert_eq!(explain(999_999), UNLISTED);
        assert_eq!(explain(132_068), OTHER_TEMPLATE_FAULT);
        assert_eq!(explain(131_050).again, Again::Never);
    }
}
