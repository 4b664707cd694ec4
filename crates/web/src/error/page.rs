//! The page that `errors.doc` leads to: docs/errors.md's words as HTML, served by the gateway itself.
//!
//! A gateway that a company runs for itself has no public documentation site that a link could name
//! and still be true tomorrow. So the link is a path on the gateway that answered, and what stands
//! there is made from the catalogue of that very version.

use std::fmt::Write as _;

use http::StatusCode;

use super::{CATALOGUE, ErrorDoc, group};

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Errors of this gateway</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
code { font-size: 0.9em; background: #8882; padding: 0.1em 0.3em; border-radius: 3px; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0; }
section:target h2 { background: #fe89; }
</style>
</head>
<body>
<h1>Errors</h1>
<p>Branch on <code>code</code>; <code>description</code> is for people. In an error of a send, <code>params.sent</code> is
<code>no</code> where no message went out and nothing was charged, and <code>unknown</code> where it may have gone out;
<code>params.retryable</code> says whether the very same request may be sent again. Quote the header
<code>X-Request-Id</code> when you report a problem.</p>
";

/// The page, one section per code; a section's id is its code in lower case.
#[must_use]
pub fn errors_page() -> String {
    let mut page = String::with_capacity(64 * 1024);
    page.push_str(HEAD);
    page.push_str("<table>\n");
    for document in CATALOGUE {
        let statuses = document.http.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            page,
            "<tr><td><a href=\"#{}\">{}</a></td><td>{statuses}</td><td>{}</td></tr>",
            document.code.to_ascii_lowercase(),
            document.code,
            Prose(document.title)
        );
    }
    page.push_str("</table>\n");
    for document in CATALOGUE {
        section(&mut page, document);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn section(page: &mut String, document: &ErrorDoc) {
    let statuses = document.http.iter().map(|status| status_words(*status)).collect::<Vec<_>>().join(", ");
    let _ = write!(
        page,
        "<section id=\"{}\">\n<h2>{}</h2>\n<p><strong>{}.</strong> {statuses}</p>\n\
         <p><strong>What happened.</strong> {}</p>\n<p><strong>What to do.</strong> {}</p>\n",
        document.code.to_ascii_lowercase(),
        document.code,
        Prose(document.title),
        Prose(document.what_happened),
        Prose(document.what_to_do)
    );
    if !document.params.is_empty() {
        page.push_str("<table>\n");
        for (name, meaning) in document.params {
            let _ = writeln!(page, "<tr><td><code>params.{name}</code></td><td>{}</td></tr>", Prose(meaning));
        }
        page.push_str("</table>\n");
    }
    page.push_str("</section>\n");
}

fn status_words(status: u16) -> String {
    let name = if status == 200 { "OK" } else { StatusCode::from_u16(status).map_or("", group) };
    format!("<code>{status} {name}</code>")
}

/// A text of the catalogue as HTML: escaped, and what stands in backticks as code.
struct Prose(&'static str);

impl std::fmt::Display for Prose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut in_code = false;
        for c in self.0.chars() {
            match c {
                '`' => {
                    f.write_str(if in_code { "</code>" } else { "<code>" })?;
                    in_code = !in_code;
                }
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_section_that_its_link_finds() {
        let page = errors_page();
        for document in CATALOGUE {
            let link = super::super::doc_link(document.code);
            let (path, anchor) = link.split_once('#').expect("a link leads to a section");
            assert_eq!(path, super::super::ERRORS_PAGE);
            assert_eq!(page.matches(&format!("<section id=\"{anchor}\">")).count(), 1, "{}", document.code);
        }
    }

    #[test]
    fn words_are_escaped_and_backticks_become_code() {
        assert_eq!(Prose("send `Bearer <key>` & wait").to_string(), "send <code>Bearer &lt;key&gt;</code> &amp; wait");
        let page = errors_page();
        assert!(!page.contains('`'), "a backtick was left over");
        assert_eq!(page.matches("<code>").count(), page.matches("</code>").count());
    }
}
