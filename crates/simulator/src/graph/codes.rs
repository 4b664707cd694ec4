//! Meta's error codes: titles and the HTTP status each usually comes with.
//!
//! Meta took the statuses off its page in 2026 and may send others; a client
//! must decide by the code. Sources: the WhatsApp Business Platform's error-code
//! page of 2026-09 and its older copies.

/// One of Meta's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetaCode {
    /// `error.code`.
    pub code: u32,
    /// The HTTP status that it usually comes with.
    pub status: u16,
    /// What `error.message` says behind `(#code) `.
    pub title: &'static str,
    /// What `error.error_data.details` says where nothing more is known.
    pub details: &'static str,
}

/// The code's row, if Meta lists it. 200 to 299 are all missing permissions.
pub fn find(code: u32) -> Option<&'static MetaCode> {
    let listed = if (200..300).contains(&code) && code != 206 { 200 } else { code };
    ALL.iter().find(|row| row.code == listed)
}

macro_rules! codes {
    ($($code:literal $status:literal $title:literal $details:literal)*) => {
        /// Every code that a send, a template call or a number call may meet.
        pub const ALL: &[MetaCode] = &[$(MetaCode { code: $code, status: $status, title: $title, details: $details }),*];
    };
}

codes! {
    0 401 "AuthException" "We were unable to authenticate the app user."
    1 400 "API Unknown" "Invalid request or possible server error."
    2 503 "API Service" "Temporary due to downtime or due to being overloaded."
    3 500 "API Method" "Capability or permissions issue."
    4 429 "Application request limit reached" "The app has reached its API call rate limit."
    10 403 "Application does not have permission for this action" "Permission is either not granted or has been removed."
    33 400 "Parameter value is not valid" "The business phone number has been deleted."
    100 400 "Invalid parameter" "The request included one or more unsupported or misspelled parameters."
    104 400 "An access token is required to request this resource." "An access token is required to request this resource."
    190 401 "Error validating access token" "Your access token has expired or is not valid."
    192 400 "Invalid phone number" "The phone number is not valid."
    200 403 "Permissions error" "Permission is either not granted or has been removed."
    206 403 "Group operation not permitted" "The business is not eligible for groups."
    368 403 "Temporarily blocked for policies violations" "The WhatsApp Business Account associated with the app has been restricted or disabled for violating a platform policy."
    613 400 "Calls to this api have exceeded the rate limit." "The API has been called too often."
    80007 429 "Rate limit issues" "The WhatsApp Business Account has reached its rate limit."
    80008 400 "There have been too many calls to this WhatsApp Business account." "Wait a bit and try again."
    130403 400 "User blocked" "The business has blocked this user."
    130429 429 "Rate limit hit" "Message failed to send because there were too many messages sent from this phone number in a short period of time"
    130472 400 "User's number is part of an experiment" "Failed to send message because this user's phone number is part of an experiment"
    130497 403 "Business account is restricted from messaging users in this country." "The WhatsApp Business Account is restricted from messaging to users in certain countries."
    131000 500 "Something went wrong" "Message failed to send due to an unknown error."
    131005 403 "Access denied" "Permission is either not granted or has been removed."
    131008 400 "Required parameter is missing" "The request is missing a required parameter."
    131009 400 "Parameter value is not valid" "One or more parameter values are invalid."
    131016 500 "Service unavailable" "A service is temporarily unavailable."
    131020 400 "Group with a single member" "The group has no other member."
    131021 400 "Recipient cannot be sender" "Sender and recipient phone number is the same."
    131026 400 "Message undeliverable" "Unable to deliver message."
    131030 400 "Recipient phone number not in allowed list" "Recipient phone number not in allowed list: Add recipient phone number to recipient list and try again."
    131031 403 "Business Account locked" "The WhatsApp Business Account associated with the app has been restricted or disabled, or a value did not match the one on record."
    131037 400 "WhatsApp provided number needs display name approval before message can be sent." "The 555 business phone number does not have an approved display name."
    131041 400 "Group unknown" "The group does not exist."
    131042 400 "Business eligibility payment issue" "Message failed to send because there were one or more errors related to your payment method."
    131043 400 "Message expired" "Message was not sent during its Time To Live (TTL) duration."
    131044 400 "Business payment issue for calling" "There is an issue with the payment method."
    131045 500 "Incorrect certificate" "Message failed to send due to a phone number registration error."
    131047 400 "Re-engagement message" "Message failed to send because more than 24 hours have passed since the customer last replied to this number."
    131048 429 "Spam rate limit hit" "Message failed to send because there are restrictions on how many messages can be sent from this phone number."
    131049 400 "This message was not delivered to maintain healthy ecosystem engagement." "In order to maintain a healthy ecosystem engagement, the message failed to be delivered."
    131050 400 "User has stopped marketing messages" "Recipient has chosen to stop receiving marketing messages on WhatsApp from your business."
    131051 400 "Unsupported message type" "Message type is not currently supported"
    131052 400 "Media download error" "Unable to download the media sent by the user."
    131053 400 "Media upload error" "Unable to upload the media used in the message."
    131055 400 "Method not allowed" "The template is not a marketing template."
    131056 429 "(Business Account, Consumer Account) pair rate limit hit" "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time."
    131057 500 "Account in maintenance mode" "Business Account is in maintenance mode"
    131059 400 "Invalid pagination cursor" "The cursor is not valid."
    131061 400 "Template not supported on this endpoint" "A template with a maximum price can only be sent by the Marketing Messages API."
    131062 400 "Recipient not supported for this message" "The business-scoped user id is not supported for this message."
    131063 400 "Marketing messages are disabled on Cloud API" "Send the template by the Marketing Messages API."
    131064 400 "Template misclassification limit" "The account is limited because of misclassified templates."
    131201 400 "Group operation failed" "The group operation failed."
    131202 400 "Group operation failed" "The group operation failed."
    131204 400 "Group operation failed" "The group operation failed."
    131207 403 "Group operation not permitted" "The group operation is not permitted."
    131208 429 "Group rate limit hit" "Too many group operations."
    131209 400 "Group operation failed" "The group operation failed."
    131210 400 "Group operation failed" "The group operation failed."
    131211 400 "Group operation failed" "The group operation failed."
    131212 400 "Group operation failed" "The group operation failed."
    131213 400 "Group operation failed" "The group operation failed."
    131214 400 "Group operation failed" "The group operation failed."
    131215 400 "Group operation failed" "The group operation failed."
    132000 400 "Number of parameters does not match the expected number of params" "The number of variable parameter values included in the request did not match the number of variable parameters defined in the template."
    132001 404 "Template name does not exist in the translation" "The template does not exist in the specified language or the template has not been approved."
    132005 400 "Translated text too long" "Translated text is too long."
    132007 400 "Template format character policy violated" "Template content violates a WhatsApp policy."
    132008 400 "Template parameter format does not match" "Variable parameter values formatted incorrectly."
    132012 400 "Parameter format does not match format in the created template" "Variable parameter values formatted incorrectly."
    132015 400 "Template is paused" "Template is paused due to low quality so it cannot be sent in a template message."
    132016 400 "Template is disabled" "Template has been paused too many times due to low quality and is now permanently disabled."
    132018 400 "Template parameters are not valid" "There is an issue with the parameters of your template."
    132068 400 "Flow is in blocked state" "Flow is in blocked state."
    132069 400 "Flow is in throttled state" "Flow is in throttled state and 10 messages using this flow were already sent in the last hour."
    133000 500 "Incomplete deregistration" "A previous deregistration attempt failed."
    133004 503 "Server is temporarily unavailable" "Server is temporarily unavailable."
    133005 400 "Two step verification PIN mismatch" "Two-step verification PIN incorrect."
    133006 400 "Phone number re-verification needed" "Phone number needs to be verified before registering."
    133008 400 "Too many two step verification PIN guesses" "Too many two-step verification PIN guesses for this phone number."
    133009 400 "Two step verification PIN guessed too fast" "Two-step verification PIN was entered too quickly."
    133010 400 "Phone number not registered" "Phone number not registered on the WhatsApp Business Platform."
    133015 400 "Please wait a few minutes before attempting to register this phone number" "The phone number you are attempting to register was recently deleted, and deletion has not yet completed."
    134011 400 "Payments terms of service pending" "The terms of service of WhatsApp Payments were not accepted yet."
    134100 400 "Only marketing messages are supported" "Only templates of the category MARKETING can be sent by the Marketing Messages API."
    134101 400 "Template is still syncing" "Wait 10 minutes and try again."
    134102 500 "Template unavailable" "The template is not available for the Marketing Messages API."
    135000 400 "Generic user error" "Message failed to send because of an unknown error with your request parameters."
    137000 400 "Recipient identity key mismatch" "The identity key hash of the recipient does not match."
    138000 400 "Calling is not enabled" "Calling is not enabled on this number."
    139000 400 "Blocked by integrity" "The Flow was blocked."
    139001 400 "Failed to block user" "The user could not be blocked."
    139002 400 "Block list error" "The user could not be blocked."
    139003 400 "Block list error" "The user could not be blocked."
    139004 400 "Block list error" "The user could not be blocked."
    139100 400 "Failed to block or unblock users" "Some users could not be blocked or unblocked."
    139101 400 "Block list limit reached" "The block list has 64k users."
    139102 400 "Block list concurrent update" "The block list was updated at the same time."
    139103 400 "Block list internal error" "The block list is not available."
    139200 400 "Direct Send is blocked" "The business may not use Direct Send."
    147001 400 "Business username error" "The business username could not be changed."
    147002 400 "Business username error" "The business username could not be changed."
    147003 400 "Business username error" "The business username could not be changed."
    147004 400 "Business username error" "The business username could not be changed."
    147005 400 "Business username error" "The business username could not be changed."
    200005 400 "Template insights are not available" "Template insights are not available."
    200006 400 "Template insights cannot be disabled" "Template insights cannot be disabled once enabled."
    200007 400 "Template insights are not enabled" "Template insights are not enabled."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_under_an_error_status() {
        for (n, row) in ALL.iter().enumerate() {
            assert!((400..600).contains(&row.status), "{}", row.code);
            assert!(ALL[..n].iter().all(|earlier| earlier.code != row.code), "{} twice", row.code);
        }
    }

    #[test]
    fn permissions_are_a_range() {
        assert_eq!(find(299).map(|row| row.status), Some(403));
        assert_eq!(find(300), None);
    }
}
