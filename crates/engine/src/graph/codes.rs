//! What each error code of Meta's means for the caller: who must act, whether to try again, what
//! to do.
//!
//! The classes are those of contract §3.4 (GW_001), the codes and waits those of meta-cloud-api
//! §3.2. A code that the contract does not list is [`MetaRefusalClass::Link`], answered 502: better
//! to admit that we do not know than to blame the caller. A code that nobody has listed goes by
//! Meta's own `is_transient`.
//!
//! *Retryable* means that the very same request may succeed later. It is so for limits and passing
//! troubles, and for our link to Meta, which the operator mends without the caller's doing; it is
//! not where the message, the recipient or the account must change first.

use turnpike_domain::refusal::MetaRefusalClass::{self, Barred, Caller, Limited, Link};

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Who must act.
    pub class: MetaRefusalClass,
    /// Whether the same request may succeed later; `None` where only Meta's answer can say.
    pub retryable: Option<bool>,
    /// The wait that Meta's documents advise, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// What to do, in plain words.
    pub hint: &'static str,
}

/// What `code` means; `subcode` sharpens the hint.
#[must_use]
pub fn meaning(code: i64, subcode: Option<i64>) -> Meaning {
    let by_code = entry(code).map_or(UNLISTED, |entry| entry.meaning);
    let sharper = subcode.and_then(|subcode| SUBCODES.iter().find(|(c, s, _)| (*c, *s) == (code, subcode)));
    sharper.map_or(by_code, |(_, _, hint)| Meaning { hint, ..by_code })
}

/// Whether `code`, as the answer to a send, says that nothing more will go out from this number
/// until somebody acts: then it is paused, so that other callers' sends end as "not sent" at once
/// (reliability §e).
#[must_use]
pub fn pauses_number(code: i64) -> bool {
    matches!(code, 10 | 190 | 200..=299 | 368 | 131_031)
}

fn entry(code: i64) -> Option<&'static Entry> {
    let at = TABLE.partition_point(|entry| entry.last < code);
    TABLE.get(at).filter(|entry| entry.first <= code)
}

const UNLISTED: Meaning = Meaning {
    class: Link,
    retryable: None,
    retry_after_ms: None,
    hint: "Meta gave a code that this gateway does not know. Look it up in Meta's list of error codes, and tell your operator.",
};

/// One code, or a range of codes that mean the same.
#[derive(Debug)]
struct Entry {
    first: i64,
    last: i64,
    meaning: Meaning,
}

const fn range(first: i64, last: i64, class: MetaRefusalClass, retry: Retry, hint: &'static str) -> Entry {
    let (retryable, retry_after_ms) = match retry {
        Retry::No => (false, None),
        Retry::Later => (true, None),
        Retry::After(seconds) => (true, Some(seconds * 1_000)),
    };
    Entry { first, last, meaning: Meaning { class, retryable: Some(retryable), retry_after_ms, hint } }
}

const fn one(code: i64, class: MetaRefusalClass, retry: Retry, hint: &'static str) -> Entry {
    range(code, code, class, retry, hint)
}

#[derive(Clone, Copy)]
enum Retry {
    /// The same request fails again.
    No,
    /// It may succeed once somebody or something has changed; nobody says when.
    Later,
    /// It may succeed after so many seconds.
    After(u64),
}
use Retry::{After, Later, No};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The contract counts every code 132xxx as the caller's (§3.4), also those that Meta has not
/// published.
const OTHER_TEMPLATE_FAULT: &str = "Meta refuses the template. Compare the message with the template's definition.";

/// By code, ascending, without overlap (a test watches over it).
#[rustfmt::skip]
const TABLE: &[Entry] = &[
    one(0, Link, Later, "Meta could not authenticate the app. The operator must set a valid access token for this number."),
    one(1, Link, After(5), "Meta reports an unknown error. Try once more later; if it stays, look at the request and at Meta's status page."),
    one(2, Link, After(5), "Meta's service is down or overloaded for the moment. Try again later."),
    one(3, Link, Later, "The app may not call this method. The operator must give the token the permission whatsapp_business_messaging."),
    one(4, Limited, After(MINUTE), "The app has reached Meta's limit of calls. Wait, then send more slowly."),
    one(10, Link, Later, "The token lacks a permission, or the app may not use this account. The operator must grant it at Meta; the number is paused until then."),
    one(33, Link, No, "Meta does not know this number any more, or the token may not see it. The operator must check the phone number id."),
    one(100, Caller, No, "A field of the message is wrong, unknown or too long. Meta's details name it; correct it and send again."),
    one(104, Link, Later, "Meta wants an access token or a proof of the app secret. The operator must configure the app secret that belongs to the token."),
    one(190, Link, Later, "The access token has expired or was withdrawn. The operator must set a new one; the number is paused until then."),
    one(192, Caller, No, "Meta does not take this phone number as one. Write it with its country code."),
    range(200, 299, Link, Later, "A permission is missing or was withdrawn. The operator must grant it at Meta; the number is paused until then."),
    one(368, Barred, No, "Meta has restricted the account for breaking its policies. The account's owner must settle this in Meta's Business Support; the number is paused until then."),
    one(613, Limited, After(MINUTE), "Meta's limit for this kind of call is reached. Wait, then send more slowly."),
    one(80007, Limited, After(MINUTE), "The WhatsApp Business Account has reached Meta's limit of calls. Wait, then try again."),
    one(80008, Link, After(MINUTE), "There were too many calls about this WhatsApp Business Account. Wait, then try again."),
    one(130403, Link, No, "The business has blocked this user. Unblock the user before sending."),
    one(130429, Limited, After(1), "The number sends faster than Meta allows it to. Wait some seconds and send more slowly."),
    one(130472, Link, No, "The user is part of an experiment of Meta's and gets no marketing messages. Do not send again; use another channel."),
    one(130497, Barred, No, "This account may not message users in the recipient's country. Do not send to that country from this number."),
    one(131000, Link, After(5), "Something went wrong at Meta. Try a few times, with growing waits."),
    one(131005, Barred, No, "Meta denies the account access to this. The account's owner must check its permissions at Meta."),
    one(131008, Caller, No, "A field that Meta needs is missing. Meta's details name it; add it and send again."),
    one(131009, Caller, No, "A value is not valid. Meta's details name it; correct it and send again."),
    one(131016, Link, After(5), "Meta's service is not available for the moment. Try again later."),
    one(131020, Link, No, "The group has no other member. Nobody would get the message."),
    one(131021, Caller, No, "The recipient is the sending number itself. Choose another recipient."),
    one(131026, Link, No, "Meta cannot deliver to this user: no WhatsApp account, an old app, terms not accepted, or blocked. Do not send again soon; use another channel."),
    one(131030, Caller, No, "This is a test number, and the recipient is not on its list. Add the recipient to the list at Meta."),
    one(131031, Barred, No, "Meta has locked the account, or the PIN does not match. The account's owner must settle this with Meta; the number is paused until then."),
    one(131037, Barred, No, "The number has no approved display name yet. The account's owner must have one approved at Meta."),
    one(131041, Link, No, "Meta does not know this group. Check the group's id."),
    one(131042, Link, Later, "Meta finds a problem with the account's payment method. Whoever pays Meta must mend it in Meta's billing settings."),
    one(131043, Link, No, "The message expired before it could be delivered. Decide whether it is still worth sending."),
    one(131044, Link, Later, "Meta finds a problem with the payment for calling. Whoever pays Meta must mend it in Meta's billing settings."),
    one(131045, Link, Later, "The number is not properly registered. The operator must register it again."),
    one(131047, Link, No, "More than 24 hours have passed since the user last wrote. Send a template message instead."),
    one(131048, Limited, After(HOUR), "Too many of this number's messages were reported or blocked, so Meta limits it. Wait some hours and look at the number's quality."),
    one(131049, Link, No, "Meta held the message back, because this user gets too many marketing messages. Do not send again within 24 hours; repeats are penalised."),
    one(131050, Link, No, "The user has stopped marketing messages from this business. Do not send any until the user resumes them."),
    one(131051, Caller, No, "Meta does not support this type of message. Use another type."),
    one(131052, Link, No, "Meta could not download the user's media. Ask the user to send it again."),
    one(131053, Link, No, "Meta could not fetch or use the media. Check that the link is public, and that its type and size are allowed."),
    one(131055, Link, No, "This method is not allowed here. Only marketing templates may go with mmlite."),
    one(131056, Limited, After(6), "Too many messages from this number to this user in a short time. Wait at least six seconds, and longer after each refusal."),
    one(131057, Link, After(MINUTE), "The account is in maintenance, usually while Meta raises its throughput. Try again in a minute."),
    one(131059, Link, Later, "The cursor of a list is no longer valid. Start the list from its beginning."),
    one(131061, Caller, No, "This template has a maximum price and may not go this way. Send it with mmlite=true."),
    one(131062, Caller, No, "This message cannot go to a user without a visible phone number. Send it to the phone number."),
    one(131063, Caller, No, "Marketing templates are switched off on this way for the account. Send it with mmlite=true."),
    one(131064, Link, Later, "Meta limits the account, because templates were put in the wrong category. Wait until Meta's enforcement period ends."),
    range(131201, 131207, Link, No, "Meta refuses this for the group. Check the group, its members and the number's rights in it."),
    one(131208, Link, After(MINUTE), "Meta's limit for groups is reached. Wait, then try again."),
    range(131209, 131215, Link, No, "Meta refuses this for the group. Check the group, its members and the number's rights in it."),
    one(132000, Caller, No, "The number of parameters is not that of the template. Compare them with the template's definition."),
    one(132001, Caller, No, "The template does not exist in this language, or is not approved. Check its name and language."),
    range(132002, 132004, Caller, No, OTHER_TEMPLATE_FAULT),
    one(132005, Caller, No, "The template's text is too long with these parameters. Shorten them."),
    range(132006, 132006, Caller, No, OTHER_TEMPLATE_FAULT),
    one(132007, Caller, No, "The template's content breaks a policy of Meta's. Change the template and have it approved again."),
    one(132008, Caller, No, "A parameter is not of the form that the template wants. Compare it with the template's definition."),
    range(132009, 132011, Caller, No, OTHER_TEMPLATE_FAULT),
    one(132012, Caller, No, "A parameter is not of the kind that the template wants. Compare it with the template's definition."),
    range(132013, 132014, Caller, No, OTHER_TEMPLATE_FAULT),
    one(132015, Caller, Later, "Meta has paused the template for low quality. Improve it, or wait until Meta ends the pause."),
    one(132016, Caller, No, "Meta has disabled the template for low quality. Make a new template with other content."),
    range(132017, 132017, Caller, No, OTHER_TEMPLATE_FAULT),
    one(132018, Caller, No, "The template's parameters do not pass Meta's check. Meta's details name the fault; compare with the template's definition."),
    range(132019, 132067, Caller, No, OTHER_TEMPLATE_FAULT),
    one(132068, Caller, No, "The flow is blocked. Mend it at Meta before sending it."),
    one(132069, Caller, After(HOUR), "The flow is throttled: ten of its messages went out within the hour. Wait, and mend the flow."),
    range(132070, 132999, Caller, No, OTHER_TEMPLATE_FAULT),
    one(133000, Link, Later, "An earlier deregistration of the number is not complete. The operator must deregister it again."),
    one(133004, Link, After(MINUTE), "Meta's registration service is not available for the moment. Try again later."),
    one(133005, Link, No, "The two-step PIN is wrong. The operator must give the right one."),
    one(133006, Link, Later, "The number must be verified first. The operator must verify it at Meta."),
    one(133008, Link, Later, "The PIN was guessed wrong too often. Wait as long as Meta's details say."),
    one(133009, Link, Later, "The PIN was entered too fast. Wait as long as Meta's details say."),
    one(133010, Barred, No, "The number is not registered for the Cloud API. The operator must register it."),
    one(133015, Link, After(5 * MINUTE), "The number was deleted a moment ago. Wait five minutes, then register it again."),
    one(133016, Link, After(72 * HOUR), "The number was registered or deregistered too often. Meta allows ten times in 72 hours."),
    one(134011, Link, Later, "The terms of WhatsApp Payments are not accepted yet. The account's owner must accept them at Meta."),
    one(134100, Link, No, "Only marketing templates may go this way. Send it without mmlite."),
    one(134101, Link, After(10 * MINUTE), "The template is still being synced for marketing. Try again in ten minutes."),
    one(134102, Link, Later, "The template cannot be used for marketing messages yet, or the account is not onboarded to them. Check the onboarding at Meta."),
    one(135000, Link, No, "Meta reports a fault in the request without naming it. Check the parameters."),
    one(137000, Caller, No, "The user's identity is not the one expected any more. Confirm it with the user, then send with the new hash or without one."),
    range(138000, 138025, Link, No, "Meta refuses this for calling. Check the number's calling settings."),
    range(139000, 139004, Link, No, "Meta refuses this for flows. Check the flow at Meta."),
    range(139100, 139103, Link, No, "Meta refuses this for the list of blocked users. Check its size and the users named."),
    one(139200, Barred, No, "Meta has blocked direct sends for this account. Use an approved template."),
    one(141002, Link, No, "The template is not approved. Wait for its approval."),
    range(147001, 147005, Link, No, "Meta refuses this for the business' username. Check the username."),
    range(200_005, 200_007, Link, No, "Meta has no insights for this template. Check that they are switched on."),
];

/// Where a subcode says more than its code (meta-cloud-api §3.1).
const SUBCODES: &[(i64, i64, &str)] = &[
    (
        100,
        33,
        "Meta does not know this id, or the token may not see it. The operator must check the phone number id and what the token has access to.",
    ),
    (190, 460, "The access token ended, because a password was changed. The operator must set a new one; the number is paused until then."),
    (190, 463, "The access token has expired. The operator must set a new one; the number is paused until then."),
    (190, 467, "The access token was withdrawn. The operator must set a new one; the number is paused until then."),
];

#[cfg(test)]
mod tests;
