//! Prints docs/openapi.json: `cargo run -p turnpike-web --example openapi-json > docs/openapi.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(&turnpike_web::openapi::openapi_text())
}
