//! What `turnpike demo` promises beside its examples: starting over harms nobody who still runs, and the
//! service window can be strict.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Ask, Client};
use crate::house::{SEND, post, text};
use crate::process::{Process, text_of};

/// Until something is seen that must come: reaching it means that it does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// A demo on this folder, and what it announced.
fn start(folder: &Path, flags: &[&str]) -> (Process, Client, Value) {
    let data = text_of(&folder.join("demo"));
    let arguments: Vec<String> =
        ["--json", "--listen", "127.0.0.1:0", "--data", &data].iter().chain(flags).map(|word| (*word).to_owned()).collect();
    let (process, announced) = Process::announcing("demo", &arguments, &[]);
    let api = Client::of_url(announced["address"].as_str().expect("an address"));
    (process, api, announced)
}

fn key(announced: &Value) -> &str {
    announced["liveKey"].as_str().expect("a key")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_over_forgets_the_old_demo_and_never_one_that_still_runs() {
    let folder = TempDir::new().expect("a folder");
    let (mut running, api, first) = start(folder.path(), &[]);
    let sent = api.call(post(key(&first), &text("905300000003"))).await;
    assert_eq!(sent.status, 200, "{}", sent.summary());

    let refused = Command::new(env!("CARGO_BIN_EXE_turnpike"))
        .args(["demo", "--fresh", "--listen", "127.0.0.1:0", "--data", &text_of(&folder.path().join("demo"))])
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("a gateway runs on"), "{said}");
    let found = api.call(Ask::get(&format!("{SEND}/{}", sent.message_id())).bearer(key(&first))).await;
    assert_eq!(found.status, 200, "what ran goes on with all that it had: {}", found.summary());

    running.kill();
    let (_running, api, fresh) = start(folder.path(), &["--fresh"]);
    assert_ne!(fresh["liveKey"], first["liveKey"]);
    let gone = api.call(Ask::get("/v1/wa/me").bearer(key(&first))).await;
    assert_eq!((gone.status, gone.code()), (401, "AUTH_001".to_owned()));
    let me = api.call(Ask::get("/v1/wa/me").bearer(key(&fresh))).await.json();
    assert_eq!(me["data"]["balance"]["available"], "10.00", "{me}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_strict_window_free_form_fails_as_it_does_in_life_and_a_template_arrives() {
    let folder = TempDir::new().expect("a folder");
    let (_running, api, announced) = start(folder.path(), &["--strict-window"]);
    let template = json!({"messaging_product": "whatsapp", "to": "905300000004", "type": "template",
        "template": {"name": "order_confirmation", "language": {"code": "en_US"}}});
    for (body, ends) in [(text("905300000004"), "failed"), (template, "delivered")] {
        let sent = api.call(post(key(&announced), &body)).await;
        assert_eq!(sent.status, 200, "Meta takes both: {}", sent.summary());
        let story = async {
            loop {
                let seen = api.call(Ask::get(&format!("{SEND}/{}", sent.message_id())).bearer(key(&announced))).await.json();
                let statuses = seen["data"]["statuses"].as_array().expect("statuses").clone();
                if let Some(told) = statuses.into_iter().find(|status| status["status"] == ends) {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, story).await.unwrap_or_else(|_| panic!("{ends} never came"));
        if ends == "failed" {
            assert_eq!(told["failure"]["code"], 131_047, "{told}");
        }
    }
}
