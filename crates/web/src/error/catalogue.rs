//! Every error code that a caller can meet (contract §3.4): what happened and what to do.
//!
//! These texts are part of the product. docs/errors.md is made from this table, and the answers
//! take their sentences from it, so the two cannot differ.

/// One code of the catalogue.
#[derive(Debug)]
pub struct ErrorDoc {
    /// The code that clients branch on.
    pub code: &'static str,
    /// The statuses that bear it.
    pub http: &'static [u16],
    /// A few words for headings and logs.
    pub title: &'static str,
    /// The sentence that answers carry, where the case has nothing more particular to say.
    pub description: &'static str,
    /// What happened, for the page.
    pub what_happened: &'static str,
    /// What to do about it, for the page.
    pub what_to_do: &'static str,
    /// Members of `params` besides `sent` and `retryable`: name and meaning.
    pub params: &'static [(&'static str, &'static str)],
}

/// The catalogue's entry for a code.
///
/// # Panics
/// For a code that is not in it: codes are written in this crate only, and a test looks up each.
#[must_use]
pub fn document(code: &str) -> &'static ErrorDoc {
    CATALOGUE.iter().find(|document| document.code == code).expect("every code that is answered is in the catalogue")
}

const WAIT: (&str, &str) =
    ("retry_after", "How long to wait, in whole seconds rounded up: `\"1s\"`. The same as the header `Retry-After`.");
const WAIT_MS: (&str, &str) = ("retry_after_ms", "The same wait in milliseconds.");

/// Every code, in the order of the contract.
pub const CATALOGUE: &[ErrorDoc] = &[
    ErrorDoc {
        code: "AUTH_001",
        http: &[401],
        title: "API key not accepted",
        description: "The API key is unknown, revoked or expired.",
        what_happened: "The request bore an API key, but it is not one that works: it is misspelt or cut short, was revoked, has expired, or belongs to another gateway. Which of these it is, is not said, so that nobody can probe for keys.",
        what_to_do: "Compare the key with the one you were shown when it was created: `pk_` or `sk_` and 32 letters and digits. If you no longer have it, create or rotate a key; a key is shown only once. Too many wrong keys from one address are answered RATE_001.",
        params: &[],
    },
    ErrorDoc {
        code: "AUTH_002",
        http: &[401],
        title: "No API key",
        description: "The request has no Authorization header.",
        what_happened: "The request came without an `Authorization` header. Some HTTP clients drop it when they follow a redirect to another host.",
        what_to_do: "Send `Authorization: Bearer <your API key>` with every request, straight to the gateway's own address.",
        params: &[],
    },
    ErrorDoc {
        code: "AUTH_003",
        http: &[401],
        title: "Not a bearer token",
        description: "The Authorization header is not of the form \"Bearer <API key>\".",
        what_happened: "There is an `Authorization` header, but it is not the word `Bearer`, one space and a key. Often it is `Basic …`, a bare key, or a key in quotes.",
        what_to_do: "Send exactly `Authorization: Bearer <your API key>`.",
        params: &[],
    },
    ErrorDoc {
        code: "AUTH_004",
        http: &[500],
        title: "Keys cannot be looked up",
        description: "The API key could not be checked just now. Nothing was sent.",
        what_happened: "The gateway does not have this key in memory and cannot reach the store to look it up. The key may well be right.",
        what_to_do: "Repeat the request after a few seconds; nothing was sent. If it goes on, tell the operator of the gateway: its database is not reachable.",
        params: &[],
    },
    ErrorDoc {
        code: "AUTH_005",
        http: &[500],
        title: "Key record unreadable",
        description: "The stored record of this API key cannot be read. Nothing was sent.",
        what_happened: "The key exists, but what is stored about it is damaged. Repeating the request does not help.",
        what_to_do: "Tell the operator of the gateway and quote the `X-Request-Id` of the answer. Until it is mended, use another key of the same application.",
        params: &[],
    },
    ErrorDoc {
        code: "AUTH_006",
        http: &[403],
        title: "Key not allowed to do this",
        description: "The API key is valid, but it is not allowed to do this.",
        what_happened: "The key was recognised, and something about the key, its application or where the request came from forbids this request. `params.reason` says which.",
        what_to_do: "`application_draft`: connect a WhatsApp number to the application, or use a sandbox key meanwhile. `application_suspended`: ask the operator why. `scope`: use a key with the scope, or have it added. `address`: send from an address on the key's list, or have yours added. `market`: the key may not send to this country; have it added if that is wanted. `browser`: the request bore an `Origin` header; call the gateway from your server, since a key in a web page is a key in everybody's hands. `unencrypted`: the request came past the proxy that speaks TLS with callers, and was refused whatever its key; use the gateway's https address, and replace the key, which anybody on the way could read. `sandbox_off`: the operator has switched the sandbox off (`sandbox.enabled`); use a live key, or ask for it.",
        params: &[(
            "reason",
            "`application_draft`, `application_suspended`, `scope`, `address`, `market`, `browser`, `unencrypted` or `sandbox_off`.",
        )],
    },
    ErrorDoc {
        code: "RATE_001",
        http: &[429],
        title: "A limit is full",
        description: "A limit is full. Wait for the time given and repeat the request.",
        what_happened: "One of the limits was full at that instant. `params.limit_type` says which: `sec` and `min` are the key's requests in any span of one and of sixty seconds, `day` its messages of the UTC day, `concurrency` its sends in flight (or its files and streams of events), `spend` what it may spend in a UTC day; `number` is the pace that Meta allows the sending number, `pair` the pace from one number to one recipient (one message in 6 seconds, with a burst of 45); `address` counts wrong keys from your network address.",
        what_to_do: "Wait for `retry_after_ms`, which is the true time until a slot is free, and send the same request again, with the same Idempotency-Key. Every answer says in `X-RateLimit-…-Remaining` how much is left, so that you can slow down before this happens. If the limit is too small for you, ask for a larger one.",
        params: &[("limit_type", "`sec`, `min`, `day`, `concurrency`, `number`, `pair`, `spend` or `address`."), WAIT, WAIT_MS],
    },
    ErrorDoc {
        code: "BILL_001",
        http: &[402],
        title: "Balance too small",
        description: "Insufficient balance. Please top up your account to continue sending messages.",
        what_happened: "The price of the message is more than what is available in the wallet: its balance less what is held for messages under way. Nothing was sent and nothing was charged.",
        what_to_do: "Top up the wallet, then send the same request again; the Idempotency-Key is not used up. If the balance looks large enough, look at what is held: the price of a message stays held until its delivery is reported.",
        params: &[
            ("required", "Price of the message, a decimal string."),
            ("currency", "The wallet's currency."),
            ("available", "What is available, a decimal string. Only for keys with the scope `billing:read`."),
        ],
    },
    ErrorDoc {
        code: "BILL_002",
        http: &[503],
        title: "Ledger not reachable",
        description: "The ledger could not be written just now, so nothing was sent and nothing was charged.",
        what_happened: "A message goes out only after its price was put on hold durably, and that could not be done.",
        what_to_do: "Repeat the request after the time given, with the same Idempotency-Key. If it goes on, tell the operator: the gateway's database is not reachable or its disk is full.",
        params: &[WAIT, WAIT_MS],
    },
    ErrorDoc {
        code: "REQ_001",
        http: &[400],
        title: "Body is not one JSON object",
        description: "The body is not one JSON object.",
        what_happened: "The body could not be read as one JSON object in UTF-8. Besides broken JSON these are refused too, because two programs could read them differently: a member name that occurs twice in one object, a byte order mark, half of a surrogate pair, nesting deeper than 32, anything after the object.",
        what_to_do: "Mend the body at the line and column given. Let a JSON library write it rather than gluing texts together.",
        params: &[
            ("line", "Line of the fault, from 1."),
            ("column", "Column of the fault, in bytes from 1."),
            ("problem", "What is wrong there."),
        ],
    },
    ErrorDoc {
        code: "REQ_002",
        http: &[400],
        title: "Fields are wrong",
        description: "One or more fields are wrong.",
        what_happened: "The body is JSON, but fields of it, or query parameters, are missing, unknown or outside their limits. Everything that is wrong is named at once, before anything costs money.",
        what_to_do: "Mend each entry of `params.fields`. A `path` such as `interactive.action.buttons[1].reply.title` leads from the root of the body; `query.mmlite` is a query parameter, `header.idempotency-key` a header.",
        params: &[("fields", "A list of `{path, problem}`, one for each fault.")],
    },
    ErrorDoc {
        code: "REQ_003",
        http: &[415],
        title: "Content type is not JSON",
        description: "The body is not plain JSON: the Content-Type must be application/json, without a Content-Encoding.",
        what_happened: "The `Content-Type` header is missing or names something else than JSON, or a `Content-Encoding` says that the body is packed.",
        what_to_do: "Send `Content-Type: application/json`, with or without `charset=utf-8`, and the body as it is.",
        params: &[],
    },
    ErrorDoc {
        code: "REQ_004",
        http: &[413],
        title: "Body too large",
        description: "The body is too large.",
        what_happened: "The body is larger than this route takes; for sends that is 1 MiB, far above the largest message that WhatsApp knows. The connection is closed behind this answer.",
        what_to_do: "Send media by `link` or `id`, not inside the body, and only one message in a request.",
        params: &[("limit", "The limit in bytes.")],
    },
    ErrorDoc {
        code: "REQ_005",
        http: &[404, 405],
        title: "No such route or method",
        description: "There is nothing at this address.",
        what_happened: "404: the path is not one of the gateway's, or what it names does not exist or is not yours; with `reason: expired` it is a file that existed and that Meta keeps no longer. 405: the path exists, but not with this method; the header `Allow` names those that it knows.",
        what_to_do: "Compare method and path with the documentation, letter by letter: a slash at the end makes another path. Sends are `POST /v1/wa/message`.",
        params: &[
            ("allow", "With 405: the methods that the route knows."),
            ("reason", "With 404: `expired` where a file was there and its time is over."),
        ],
    },
    ErrorDoc {
        code: "REQ_006",
        http: &[400],
        title: "Request badly framed",
        description: "The request is not framed as HTTP asks.",
        what_happened: "The bytes of the request can be read in two ways, or in none: a broken request line or header, no or several `Host` headers, a second `Authorization`, `Content-Type`, `Content-Length`, `Idempotency-Key`, `X-Allow-Duplicate`, `Last-Event-ID` or `X-Operator`, `Content-Length` beside `Transfer-Encoding`, or a body that broke off. The connection is closed behind this answer, so that what follows on it cannot be taken for another request.",
        what_to_do: "Use an HTTP library as it is, and see that neither your program nor a proxy between adds a header that is already there. `params.problem` says what was found.",
        params: &[("problem", "What was found.")],
    },
    ErrorDoc {
        code: "REQ_007",
        http: &[408],
        title: "Body came too slowly",
        description: "The body did not arrive in time.",
        what_happened: "The head of the request came, but the body did not follow within 10 seconds, or kept up less than 16 KiB a second after that. Nothing was sent. The connection is closed behind this answer.",
        what_to_do: "Send the request again. If it happens often, see whether `Content-Length` is larger than what your program really writes, or the network between is bad.",
        params: &[],
    },
    ErrorDoc {
        code: "REQ_008",
        http: &[431],
        title: "Head too large",
        description: "The request's head is too large.",
        what_happened: "Request line and headers together are more than 16 KiB, or there are more than 64 headers. The connection is closed behind this answer.",
        what_to_do: "Send only the headers that the gateway reads. Large heads are most often cookies that were meant for another site.",
        params: &[],
    },
    ErrorDoc {
        code: "POL_001",
        http: &[422],
        title: "Service window closed",
        description: "The recipient's 24-hour service window is closed, so only a template can be sent.",
        what_happened: "WhatsApp lets a business write freely for 24 hours after the user's last message. That time is over, or the user never wrote, and this gateway or key is set to refuse such messages before they cost anything.",
        what_to_do: "Send an approved template instead. Once the user answers, the window is open again.",
        params: &[("window_closed_at", "When the window closed (RFC 3339, UTC); absent where the user never wrote.")],
    },
    ErrorDoc {
        code: "POL_002",
        http: &[422],
        title: "Recipient opted out",
        description: "The recipient has opted out of these messages.",
        what_happened: "The user asked not to be sent such messages, and this gateway or key is set to respect that before Meta is asked.",
        what_to_do: "Do not send to this recipient. If the user has agreed again, record it where the opt-out was recorded.",
        params: &[],
    },
    ErrorDoc {
        code: "IDEM_001",
        http: &[409],
        title: "Same request still in flight",
        description: "A request with this Idempotency-Key is still being worked on.",
        what_happened: "An earlier request with the same Idempotency-Key has not been answered yet. This one did nothing.",
        what_to_do: "Wait a second and repeat it: you then get the answer of the first. To look without sending, ask `GET /v1/wa/message` with the same `Idempotency-Key` header.",
        params: &[WAIT, WAIT_MS],
    },
    ErrorDoc {
        code: "IDEM_002",
        http: &[422],
        title: "Idempotency-Key used for another request",
        description: "This Idempotency-Key was used for another request.",
        what_happened: "The key is known, but from a request with another path, query or body; a single byte counts. This request did nothing.",
        what_to_do: "Use a new Idempotency-Key for every new message, and repeat a request with exactly the bytes it had. If both were meant to be the same, look for something that changes by itself: a time, the order of members, spaces.",
        params: &[],
    },
    ErrorDoc {
        code: "GW_001",
        http: &[400, 403, 429, 502],
        title: "Meta refused the message",
        description: "Meta refused the message.",
        what_happened: "Meta answered with an error, or the gateway saw that the message does not match its template, which Meta would refuse. The message was not sent, and what was held for it is released. The status says who must act: 400 the message, recipient or template must be mended; 403 the account or number is barred; 429 one of Meta's limits is full; 502 the gateway's own link to Meta (token, permission) or a code that nobody has explained yet.",
        what_to_do: "Read `params.hint`, which says in plain words what Meta's code means and what to do. Where `params.retryable` is true, the same request may be sent again later. With 502, tell the operator; with 403, look at the number in Meta's Business Manager. `fbtrace_id` is what Meta's support asks for.",
        params: &[
            ("code", "Meta's error code, a number."),
            ("subcode", "Meta's subcode, where there is one."),
            ("title", "Meta's own short text."),
            ("details", "Meta's own longer text, or what differs from the template."),
            ("fbtrace_id", "Meta's trace id."),
            ("hint", "What it means and what to do."),
            ("retry_after", "With 429: how long to wait, `\"5s\"`. The same as the header `Retry-After`."),
            ("retry_after_ms", "With 429: the same wait in milliseconds."),
        ],
    },
    ErrorDoc {
        code: "GW_002",
        http: &[503],
        title: "Meta could not be reached",
        description: "Meta could not be reached, so nothing was sent and nothing was charged.",
        what_happened: "No byte of the request reached Meta: the name did not resolve, the connection or its encryption failed, none became free in time, Meta refused the stream unread, or the gateway has stopped trying for a moment after many failures. `params.cause` says which. For what may be repeated without harm (read marks, media), it also stands for an answer of Meta's that could not be used.",
        what_to_do: "Send the same request again after the time given; there is no danger of a second message. If it goes on, tell the operator. `number_paused` means that Meta barred the sending number; it stays paused until the cause is mended.",
        params: &[
            (
                "cause",
                "`dns`, `connect`, `tls`, `pool`, `breaker`, `refused_stream`, `connection_closed`, `number_paused`, `draining` or `too_late`.",
            ),
            WAIT,
            WAIT_MS,
        ],
    },
    ErrorDoc {
        code: "GW_003",
        http: &[504],
        title: "Outcome unknown",
        description: "The message may or may not have been sent: it went out to Meta and no usable answer came back. Do not send it again under a new key; look it up.",
        what_happened: "Bytes of the request had left for Meta when the connection broke, the time was up, or Meta answered with a server error or something unreadable. Meta may have taken the message. The gateway never sends it a second time by itself; its price stays held until evidence comes: a delivery status, or the end of the time in which one could.",
        what_to_do: "Do not send it again with a new Idempotency-Key: the user could get it twice. Look it up with `GET /v1/wa/message/{message_id}`, or repeat the same request with the same Idempotency-Key, which never sends twice and answers what has become of it: 200 once Meta is known to have taken it. With `outcome: presumed_not_sent` no evidence ever came and the price was released; then a new key sends it anew.",
        params: &[
            ("message_id", "The gateway's id of the message, to look it up by. Also in the header `X-Message-Id`."),
            (
                "cause",
                "`connection_lost`, `timeout`, `server_error`, `redirect`, `unreadable_answer`, `unreadable_refusal` or `crash`, where the gateway saw it.",
            ),
            ("outcome", "`presumed_not_sent` once the gateway has given up waiting for evidence."),
        ],
    },
    ErrorDoc {
        code: "GW_004",
        http: &[503],
        title: "Gateway overloaded or stopping",
        description: "The gateway is overloaded or about to stop. Nothing was sent and nothing was charged.",
        what_happened: "The gateway has as many sends in hand as it can answer in time, or more connections than it takes, or it was told to stop. It refused this one at once rather than letting it wait.",
        what_to_do: "Send the same request again after the time given, with the same Idempotency-Key. If it happens often, send more evenly, or tell the operator that it is time for a larger machine.",
        params: &[WAIT, WAIT_MS],
    },
    ErrorDoc {
        code: "SYS_001",
        http: &[500],
        title: "A fault of the gateway",
        description: "Something went wrong inside the gateway. This is a fault of the gateway, not of your request.",
        what_happened: "The gateway met a case that it should not have. For a send, `params.sent` is `no` where nothing can have left; it is `unknown` in the rare case that the gateway lost sight of a send that it had begun.",
        what_to_do: "With `sent: no`, repeat the request once. With `sent: unknown`, look the message up by its Idempotency-Key before anything else. Please report it to the operator and quote the `X-Request-Id` of the answer.",
        params: &[],
    },
    ErrorDoc {
        code: "WH_001",
        http: &[403],
        title: "Webhook verify token wrong",
        description: "The verify token of this webhook handshake is wrong.",
        what_happened: "Meta, or somebody else, asked to verify the webhook address with a token that is not the configured one.",
        what_to_do: "Write the same verify token into the gateway's configuration and into the webhook settings of the Meta app.",
        params: &[],
    },
    ErrorDoc {
        code: "WH_002",
        http: &[401],
        title: "Webhook without signature",
        description: "The webhook request has no X-Hub-Signature-256 header.",
        what_happened: "A POST to the webhook address came without Meta's signature, so it is not from Meta, or a proxy between took the header away.",
        what_to_do: "If it was Meta's, let your proxy pass `X-Hub-Signature-256` and the body unchanged.",
        params: &[],
    },
    ErrorDoc {
        code: "WH_003",
        http: &[401],
        title: "Webhook signature wrong",
        description: "The signature of this webhook request is wrong.",
        what_happened: "The signature does not fit the bytes of the body with any configured app secret.",
        what_to_do: "See that the app secret in the gateway's configuration is that of the Meta app which sends the webhooks, and that no proxy rewrites bodies. While an app secret is being changed, configure both.",
        params: &[],
    },
    ErrorDoc {
        code: "WH_004",
        http: &[200],
        title: "Webhook signed but unreadable",
        description: "The webhook is signed, but it could not be read; it was kept.",
        what_happened: "Meta signed a body that the gateway cannot read. It is kept as it came, counted and raised as an alarm. Meta is answered 200, because a refusal would make it repeat the whole batch for 7 days.",
        what_to_do: "Callers never meet this code. Operators find the kept body in the quarantine (turnpike quarantine show), and updating the gateway usually helps, since Meta adds new kinds of events.",
        params: &[],
    },
    ErrorDoc {
        code: "MGMT_001",
        http: &[400],
        title: "Fields wrong (operator's routes)",
        description: "Some fields are wrong; each is named.",
        what_happened: "A request to the operator's routes has fields that are missing, unknown or out of bounds. Nothing was changed.",
        what_to_do: "Mend the fields that `fields` names and repeat the request.",
        params: &[("fields", "Every faulty field: `path` and `problem`.")],
    },
    ErrorDoc {
        code: "MGMT_404",
        http: &[404],
        title: "No such object (operator's routes)",
        description: "There is no such object.",
        what_happened: "The organization, application, key, message or card that was named does not exist, or belongs to another organization.",
        what_to_do: "List what there is: `turnpike org list`, `turnpike app list`, `turnpike key list`, `turnpike message list`.",
        params: &[("object", "What was looked for.")],
    },
    ErrorDoc {
        code: "MGMT_409",
        http: &[409],
        title: "Taken (operator's routes)",
        description: "This name or number is taken; choose another.",
        what_happened: "A name, an `appId` or a phone number id must be unique, and it is another's. Nothing was changed.",
        what_to_do: "Choose another, or look at who has it.",
        params: &[("field", "Which field.")],
    },
    ErrorDoc {
        code: "MGMT_422",
        http: &[422],
        title: "A rule says no (operator's routes)",
        description: "The request is sound, and a rule forbids it.",
        what_happened: "A correction would take a wallet below zero, a leg was not captured, a message's outcome is not unknown, and the like; the description says which. Nothing was changed.",
        what_to_do: "Do what the description says.",
        params: &[],
    },
];
