//! Prints docs/errors.md: `cargo run -p turnpike-web --example errors-md > docs/errors.md`.

fn main() {
    print!("{}", turnpike_web::error::errors_markdown());
}
