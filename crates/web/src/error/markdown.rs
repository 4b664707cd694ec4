//! Writes docs/errors.md from the catalogue, so that the page cannot say another thing than the
//! answers do.

use std::fmt::Write as _;

use http::StatusCode;

use super::{CATALOGUE, group};

const HEAD: &str = "# Errors

<!-- Made from crates/web/src/error/catalogue.rs by `cargo run -p turnpike-web --example errors-md > docs/errors.md`; do not edit. -->

Every answer that is not a success has this body, whatever the route:

```json
{
  \"isSuccess\": false,
  \"errors\": {
    \"code\": \"RATE_001\",
    \"group\": \"TOO_MANY_REQUESTS\",
    \"description\": \"The API key has used up its requests of this second.\",
    \"params\": { \"sent\": \"no\", \"retryable\": true, \"retry_after\": \"1s\", \"retry_after_ms\": 412, \"limit_type\": \"sec\" },
    \"doc\": \"/docs/errors#rate_001\"
  }
}
```

`doc` is a path on the gateway that answered: open it in a browser, at the address that you sent to. It is this page, of that gateway's version.

Branch on `code`; `description` is for people and may be reworded. New codes and new members of `params` may appear.

Errors of a send, and of a check, always have two members in `params`:

- `sent`: `no` means that no message went out and nothing was charged; `unknown` means that it may have gone out (GW_003).
- `retryable`: whether the very same request, sent again, can succeed without being mended and without the danger of a second message.

Send every message with an `Idempotency-Key` of its own. Then a repeat is safe whatever the answer was, also for HTTP clients that repeat 502, 503 and 504 by themselves.

Quote the header `X-Request-Id` of the answer when you report a problem.

| code | status | |
| --- | --- | --- |
";

/// The text of docs/errors.md.
#[must_use]
pub fn errors_markdown() -> String {
    let mut page = String::from(HEAD);
    for document in CATALOGUE {
        let statuses = document.http.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "| [{}](#{}) | {statuses} | {} |", document.code, document.code.to_ascii_lowercase(), document.title);
    }
    for document in CATALOGUE {
        let statuses = document.http.iter().map(|status| status_words(*status)).collect::<Vec<_>>().join(", ");
        let _ = write!(
            page,
            "\n## {}\n\n**{}.** {statuses}\n\n**What happened.** {}\n\n**What to do.** {}\n",
            document.code, document.title, document.what_happened, document.what_to_do
        );
        if !document.params.is_empty() {
            page.push_str("\n| `params` | |\n| --- | --- |\n");
            for (name, meaning) in document.params {
                let _ = writeln!(page, "| `{name}` | {meaning} |");
            }
        }
    }
    page
}

fn status_words(status: u16) -> String {
    if status == 200 {
        return "`200`".to_owned();
    }
    let status = StatusCode::from_u16(status).expect("the catalogue has real statuses");
    format!("`{} {}`", status.as_u16(), group(status))
}
