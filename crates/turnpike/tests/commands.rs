//! The operator's commands as an operator meets them: the built program, its output, its exit codes.
//!
//! Most run on a folder on which no gateway runs, which is the same router in process; the last ones
//! ask a running gateway over its socket, over HTTP and over TLS.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for an operator to work in.
struct Desk {
    folder: TempDir,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Printed {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Desk {
        Desk { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        path
    }

    /// The program, in this folder, with nothing of the test's own environment.
    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike"));
        command.current_dir(self.folder.path()).env_clear().env("USER", "kim").stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Printed {
        let Output { status, stdout, stderr } = self.program().args(words(line)).output().expect("the program can be run");
        let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
        Printed { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Runs what must succeed; gives its output.
    fn ok(&self, line: &str) -> String {
        let printed = self.run(line);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""), "{line}\n{printed:?}");
        printed.stdout
    }

    /// The same with `--json`.
    fn json(&self, line: &str) -> Value {
        let text = self.ok(&format!("{line} --json"));
        serde_json::from_str(&text).unwrap_or_else(|problem| panic!("{line}: {problem}: {text}"))
    }

    /// Runs what must fail with this code and these words on stderr.
    fn fails(&self, line: &str, code: i32, words: &str) {
        let printed = self.run(line);
        assert_eq!(printed.code, code, "{line}\n{printed:?}");
        assert!(printed.stderr.contains(words), "{line}\n{printed:?}");
        assert!(!printed.stderr.contains("panicked"), "{line}\n{printed:?}");
    }

    /// An organization with an application, and nothing else.
    fn with_shop() -> Desk {
        let desk = Desk::new();
        desk.ok("org create Acme");
        desk.ok("app create Shop");
        desk
    }
}

/// A command line's words; none of them here needs quotes.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The first line that begins so.
fn line<'a>(text: &'a str, begins: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("no line begins with {begins}:\n{text}"))
}

#[test]
fn an_operator_sets_a_gateway_up_while_none_runs() {
    let desk = Desk::new();
    desk.fails("org list", 4, "there is no data folder ./turnpike-data");
    assert!(!desk.path("turnpike-data").exists(), "who only looks makes nothing");
    assert!(desk.ok("org create Acme --base-fee 0.002").starts_with("Made the organization Acme."));
    assert!(desk.ok("app create Shop").contains("only sandbox keys send"));
    assert_eq!(line(&desk.ok("app list"), "shop").split_whitespace().collect::<Vec<_>>(), ["shop", "Shop", "Acme", "DRAFT", "0"]);
    let key = desk.ok("key create --name back-end --sandbox");
    let shown = key.lines().find_map(|line| line.strip_prefix("  sk_")).expect("the key is shown");
    assert_eq!(shown.len(), 32);
    assert!(desk.ok("key list").lines().nth(1).expect("there is one").contains("back-end"));
    assert_eq!(desk.ok("wallet top-up --amount 25.00 --reason first"), "Topped up. Acme now has 25.00 USD available.\n");
    assert_eq!(desk.ok("wallet adjust --amount -3.00 --reason slip"), "Adjusted. Acme now has 22.00 USD available.\n");
    assert!(line(&desk.ok("wallet show"), "Available").ends_with("22.00 USD"));
    let statement = desk.ok("wallet statement");
    assert_eq!(
        statement.lines().map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
        ["what amount from to available reason", "adjust 3.00 wallet adjustments 22.00 slip", "top up 25.00 cash wallet 25.00 first"]
    );
    let verified = desk.ok("ledger verify");
    assert!(verified.ends_with("The books balance: 2 entries of 0 messages.\n"), "{verified}");
    let price = desk.ok("rates price 905321234567 marketing --at 2026-10-02");
    assert!(line(&price, "Base fee").ends_with("0.002 USD") && line(&price, "Rate card").ends_with("usd-2026-10-01"), "{price}");
    assert!(desk.ok("doctor").ends_with("Everything is as it should be.\n"));
    assert!(desk.ok("backup copy").contains("master.key"));
    let restored = desk.ok("restore copy --data second");
    assert!(restored.starts_with("Restored 0 messages into second.") && restored.contains("  1. Put the master key back"), "{restored}");
    std::fs::copy(desk.path("turnpike-data/master.key"), desk.path("second/master.key")).expect("the key can be copied");
    assert!(line(&desk.ok("wallet show --data second"), "Available").ends_with("22.00 USD"));
}

#[test]
fn every_answer_is_one_json_document_where_that_is_asked() {
    let desk = Desk::new();
    assert_eq!(desk.json("org create Acme")["currency"], "USD");
    assert_eq!(desk.json("org list")[0]["name"], "Acme");
    assert_eq!(desk.json("org prices --factor 1.05")["factor"], "1.05");
    assert_eq!(desk.json("org show")["applications"], 0);
    assert_eq!(desk.json("app create Shop --timezone Europe/Istanbul")["timezone"], "Europe/Istanbul");
    assert_eq!(desk.json("app set --enforce-window on --body-retention-days 0")["enforceWindow"], true);
    assert_eq!(desk.json("app show")["status"], "DRAFT");
    let key = desk.json("key create --expires-in 30d --daily-spend 5.00 --allowed-ip 192.0.2.0/24");
    assert!(key["key"].as_str().is_some_and(|text| text.starts_with("pk_")), "{key}");
    assert_eq!(desk.json("key create --count 3").as_array().map(Vec::len), Some(3));
    assert_eq!(desk.json("key list").as_array().map(Vec::len), Some(4));
    let id = key["id"].as_str().expect("it has an id");
    let rotated = desk.json(&format!("key rotate {id} --overlap 2h"));
    assert_eq!(rotated["dailySpend"], "5.00");
    assert_eq!(desk.json(&format!("key revoke {id}"))["isActive"], false);
    assert_eq!(desk.json("wallet top-up --amount 25.00")["available"], "25.00");
    assert_eq!(desk.json("wallet top-up --amount 1.00 --sandbox")["mode"], "sandbox");
    assert_eq!(desk.json("wallet show")["posted"], "25.00");
    let page = desk.json("wallet statement --limit 1");
    assert_eq!((page["data"][0]["kind"].as_str(), page["data"].as_array().map(Vec::len)), (Some("top_up"), Some(1)));
    assert_eq!(desk.json("rates show").as_array().map(Vec::len), Some(2));
    assert!(desk.json("rates show --at 2026-10-01")[0]["prices"].as_array().is_some_and(|prices| prices.len() > 100));
    assert_eq!(desk.json("rates price 905321234567 utility")["market"], "turkey");
    assert_eq!(desk.json("ledger verify")["clean"], true);
    assert_eq!(desk.json("message list")["data"], serde_json::json!([]));
    assert_eq!(desk.json("template list"), serde_json::json!([]));
    assert!(desk.json("doctor").as_array().is_some_and(|checks| checks.iter().all(|check| check["ok"] == true)));
    assert_eq!(desk.json("backup copy")["messages"], 0);
    assert_eq!(desk.json("restore copy --data second")["masterKeyPresent"], false);
    assert_eq!(desk.json("config check")["usable"], true);
    assert!(desk.json("config print").as_array().is_some_and(|settings| settings.len() > 40));
    assert!(desk.json("config operator-token")["token"].as_str().is_some_and(|token| token.starts_with("op_")));
}

#[test]
fn an_endpoint_is_made_changed_switched_and_deleted() {
    let desk = Desk::with_shop();
    assert!(desk.ok("webhook list").contains("nobody is told"));
    desk.fails("webhook set", 2, "url");
    desk.fails("webhook set --url http://shop.example.com/hook", 2, "https://");
    desk.fails("webhook set --url https://10.0.0.7/hook", 2, "url");
    let made = desk.json("webhook set --url https://shop.example.com/hook");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert!(text(&made["secret"]).starts_with("whsec_") && text(&made["bearer"]).starts_with("whb_"), "{made}");
    assert_ne!(made["secret"], made["bearer"]);
    desk.fails("webhook set --event reads", 2, "`reads` is no event");
    desk.fails("webhook set --header Host=elsewhere", 2, "headers");
    let changed = desk.json("webhook set --event messages --header X-Shop=7 --ordered on --sandbox on");
    assert_eq!(
        (&changed["id"], &changed["events"], &changed["ordered"]),
        (&made["id"], &serde_json::json!(["messages"]), &Value::Bool(true))
    );
    assert!(changed.get("secret").is_none(), "secrets are shown once: {changed}");
    let rotated = desk.json("webhook rotate");
    assert_ne!(rotated["secret"], made["secret"]);
    assert!(rotated["oldSecretUntil"].is_string(), "{rotated}");
    assert!(rotated.get("bearer").is_none(), "the bearer stays: {rotated}");
    assert!(desk.json("webhook rotate --bearer")["bearer"].as_str().is_some_and(|bearer| bearer.starts_with("whb_")));
    desk.write("own", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    assert_eq!(desk.json("webhook set --secret-file own")["secret"], "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    desk.fails("webhook set --secret-file nowhere", 2, "signing secret's file nowhere");
    let off = desk.ok("webhook disable");
    assert!(off.contains("off") && off.contains("turnpike webhook enable --backlog replay"), "{off}");
    assert!(desk.ok("webhook list").contains("turnpike webhook enable --backlog replay"));
    desk.fails("webhook enable", 2, "--backlog drop gives them up");
    let looked = desk.ok("doctor");
    assert!(looked.contains("endpoint default of shop") && looked.contains("--endpoint default --backlog replay"), "{looked}");
    assert!(looked.contains("nothing waits"), "{looked}");
    assert!(desk.ok("webhook enable --backlog replay").contains("active"));
    assert_eq!(desk.json("webhook deliveries")["data"], serde_json::json!([]));
    desk.fails("webhook replay", 2, "--from");
    desk.fails("webhook replay msg_0199000000007000800000000000000f", 4, "turnpike webhook deliveries");
    desk.fails("webhook test --endpoint other", 4, "turnpike webhook list");
    desk.fails("webhook test --app other", 4, "turnpike app list");
    assert!(desk.ok("webhook delete").contains("deleted"));
    desk.fails("webhook show", 4, "endpoint");
    assert!(desk.ok("quarantine list").contains("Nothing"));
    for order in ["replay", "show", "discard"] {
        desk.fails(&format!("quarantine {order} 7"), 4, "turnpike quarantine list");
        desk.fails(&format!("quarantine {order} seven"), 4, "turnpike quarantine list");
    }
    assert_eq!(desk.json("user erase 905321234567 --yes")["erased"], 0);
    assert!(desk.ok("wallet alert --below 5.00").contains("below 5.00"));
    desk.fails("sim reply --from 905321234567 --text hello", 3, "--simulator");
}

#[test]
fn a_key_for_programs_is_one_line() {
    let desk = Desk::with_shop();
    let keys = desk.ok("key create --count 2");
    assert_eq!(keys.lines().filter(|line| line.len() == 35 && line.starts_with("pk_")).count(), 2, "{keys}");
    assert_eq!(keys.lines().count(), 2);
}

#[test]
fn exit_codes_tell_usage_refusal_absence_and_silence_apart() {
    let desk = Desk::new();
    desk.fails("", 2, "Usage");
    desk.fails("wallet", 2, "Usage");
    desk.fails("wallet top-up", 2, "--amount");
    desk.fails("wallet show", 4, "turnpike org create NAME");
    desk.ok("org create Acme");
    desk.fails("org create Acme", 1, "taken");
    desk.fails("org create Other --currency XYZ", 2, "currency");
    desk.fails("org prices", 2, "--base-fee");
    desk.fails("org show Nobody", 4, "no such organization");
    desk.fails("key create", 1, "turnpike app create NAME");
    desk.ok("app create Shop");
    desk.fails("app create Shop", 1, "taken");
    desk.fails("app show nothing", 4, "no such application");
    desk.fails("app set", 2, "say what to change");
    desk.fails("app set --timezone Mars/Olympus", 2, "timezone");
    desk.fails("app connect --phone-number-id 1 --waba-id 2", 2, "--token-file");
    desk.fails("app connect --phone-number-id 1 --waba-id 2 --token-file nowhere", 2, "cannot be read");
    desk.fails("template sync", 1, "connect it first");
    desk.fails("key create --allowed-market atlantis", 2, "atlantis");
    desk.fails("key create --expires-in tomorrow", 2, "30d");
    desk.fails("key revoke abc", 2, "id");
    desk.fails("key revoke 01a203b9-49e6-715c-83a0-da2151211263", 4, "no such API key");
    desk.fails("key rotate 01a203b9-49e6-715c-83a0-da2151211263 --overlap 90m", 2, "whole hours");
    desk.fails("wallet top-up --amount 0", 2, "amount must not be 0");
    desk.fails("wallet top-up --amount ten", 2, "amount");
    desk.fails("wallet top-up --amount -1", 2, "");
    desk.fails("wallet adjust --amount -1.00 --reason x", 1, "below zero");
    desk.fails("wallet refund 01a203b9-49e6-715c-83a0-da2151211263 --reason x", 4, "no such message");
    desk.fails("message show wamid.X", 4, "no such message");
    desk.fails("message resolve 01a203b9-49e6-715c-83a0-da2151211263 --as failed --reason x", 4, "no such message");
    desk.fails("rates price 12 marketing", 2, "digits");
    desk.fails("rates import nowhere.csv --yes", 2, "cannot be read");
    desk.fails("rates show --card usd-1999-01-01", 4, "no such rate card");
    desk.fails("send --to 905321234567 --text hi", 3, "turnpike serve");
    desk.fails("restore nowhere --data second", 4, "turnpike backup");
    desk.fails("restore turnpike-data --data second", 1, "is not a backup");
    desk.ok("backup copy");
    desk.fails("backup copy", 2, "must not exist");
    desk.fails("restore copy", 1, "already holds");
    desk.fails("org list --server http://127.0.0.1:1", 3, "cannot reach");
    desk.fails("org list --server http://gateway.example.com", 2, "unencrypted");
    desk.fails("config check --set listen=0.0.0.0:80", 1, "");
    desk.fails("serve --listen 0.0.0.0:80", 2, "unencrypted");
    desk.fails("org list --data turnpike-data/turnpike.db", 4, "is no data folder, but a file");
    desk.fails("org create Bravo --data turnpike-data/turnpike.db", 3, "not a folder");
}

#[test]
fn failures_are_json_where_that_is_asked() {
    let printed = Desk::with_shop().run("org show Nobody --json");
    let said: Value = serde_json::from_str(&printed.stderr).expect("it is JSON");
    assert_eq!((said["exitCode"].as_i64(), said["errors"]["code"].as_str()), (Some(4), Some("MGMT_404")), "{said}");
    assert_eq!((printed.code, printed.stdout.as_str()), (4, ""));
}

#[test]
fn what_cannot_be_understood_is_json_where_that_is_asked() {
    let desk = Desk::new();
    desk.write("bad.toml", "listen = 7\nlissen = \"x\"\n");
    for (line, code, words) in [
        ("org lst --json", 2, "unrecognized subcommand 'lst'"),
        ("--json wallet top-up", 2, "--amount"),
        ("demo --listen nowhere --json", 2, "nowhere"),
        ("simulator --json --listen nowhere", 2, "nowhere"),
        ("wallet --json", 2, "requires a subcommand"),
        ("--json", 2, "requires a subcommand"),
        ("serve --json --listen 0.0.0.0:80", 2, "unencrypted"),
        ("serve --json --config bad.toml", 2, "lissen"),
        ("org list --json --config bad.toml", 2, "lissen"),
        ("demo --json --data turnpike-data --set", 2, "--set"),
        ("org list --json", 4, "there is no data folder"),
    ] {
        let printed = desk.run(line);
        assert_eq!((printed.code, printed.stdout.as_str()), (code, ""), "{line}\n{printed:?}");
        let said: Value = serde_json::from_str(&printed.stderr).unwrap_or_else(|problem| panic!("{line}: {problem}: {printed:?}"));
        assert_eq!(said["exitCode"], code, "{line}: {said}");
        assert!(said["errors"]["description"].as_str().is_some_and(|text| text.contains(words)), "{line}: {said}");
        let plain = desk.run(&line.replace("--json", ""));
        assert_eq!(plain.code, code, "{line}: the code is the same for people\n{plain:?}");
        assert!(serde_json::from_str::<Value>(&plain.stderr).is_err(), "{line}: people read words\n{plain:?}");
    }
    assert!(desk.ok("org list --help --json").contains("Usage:"), "help is for people");
}

#[test]
fn a_repeated_top_up_changes_nothing() {
    let desk = Desk::with_shop();
    for _ in 0..2 {
        let id = "01a203b9-49e6-715c-83a0-da2151211263";
        assert!(desk.ok(&format!("wallet top-up --amount 25.00 --id {id}")).contains("25.00 USD available"));
    }
}

#[test]
fn with_several_organizations_the_one_that_is_meant_must_be_named() {
    let desk = Desk::with_shop();
    desk.ok("org create Bravo");
    desk.fails("wallet top-up --amount 1.00", 2, "--org");
    assert!(desk.ok("wallet top-up --amount 1.00 --org Bravo").contains("Bravo now has 1.00 USD"));
    // One application is meant whoever owns it; of several each is named.
    assert!(desk.ok("key create").contains("Made a live key for shop."));
    desk.ok("app create Store --org Bravo");
    for line in ["key create", "key list", "template list", "webhook list", "rates price 905321234567 marketing"] {
        desk.fails(line, 2, "app must be given (--app APP_ID), since there are several: shop (Acme), store (Bravo)");
    }
    assert!(desk.ok("key create --app shop").contains("shop"));
}

#[test]
fn lists_go_on_over_pages_as_far_as_is_asked() {
    let desk = Desk::with_shop();
    for at in 1..=5 {
        desk.ok(&format!("wallet top-up --amount {at}.00"));
    }
    let amounts = |document: &Value| -> Vec<String> {
        let rows = document["data"].as_array().expect("a list");
        rows.iter().map(|row| row["amount"].as_str().expect("an amount").to_owned()).collect()
    };
    let first = desk.json("wallet statement --limit 2");
    assert_eq!(amounts(&first), ["5.00", "4.00"]);
    let next = first["nextCursor"].as_str().expect("there is more");
    let rest = desk.json(&format!("wallet statement --all --before {next}"));
    assert_eq!(amounts(&rest), ["3.00", "2.00", "1.00"]);
    assert_eq!(rest["nextCursor"], Value::Null);
    assert_eq!(amounts(&desk.json("wallet statement --limit 700")).len(), 5);
    let shown = desk.ok("wallet statement --limit 2");
    assert!(shown.contains(&format!("--before {next}")) && shown.contains("--all"), "{shown}");
    assert!(!desk.ok("wallet statement --all").contains("--before"));
    desk.fails("wallet statement --all --limit 2", 2, "cannot be used with");
    desk.fails("wallet statement --limit 0", 2, "0");
    desk.fails("wallet statement --before yesterday", 2, "before");
    desk.fails("wallet statement --from yesterday", 2, "from must be a date");
    desk.fails("wallet statement --from 2026-10-02 --until 2026-10-01", 2, "until must be later");
    let period = desk.json("wallet statement --from 2026-01-01 --all");
    assert_eq!(period["period"], serde_json::json!({"opening": "0.00", "closing": "15.00", "currency": "USD"}), "{period}");
    assert_eq!(period["data"][0]["available"], "15.00", "{period}");
    let shown = desk.ok("wallet statement --from 2026-01-01 --all");
    assert!(shown.starts_with("At the end of the period: 15.00 USD available\n"), "{shown}");
    assert!(shown.ends_with("At its beginning: 0.00 USD available\n"), "{shown}");
    for list in ["message list", "quarantine list", "webhook deliveries"] {
        assert_eq!(desk.json(&format!("{list} --all")), serde_json::json!({"data": [], "nextCursor": null}), "{list}");
    }
}

#[test]
fn a_rate_card_is_imported_after_its_changes_were_shown() {
    let desk = Desk::with_shop();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../domain/data/rates/usd-2026-10-01.csv");
    let csv = std::fs::read_to_string(shipped).expect("the shipped cards are data").replace("2026-10-01", "2027-01-01");
    desk.write("usd-2027-01-01.csv", &csv.replace("0.0109", "0.0110"));
    desk.fails("rates import usd-2027-01-01.csv", 2, "--yes");
    assert_eq!(desk.json("rates show").as_array().map(Vec::len), Some(2), "nothing is imported unasked");
    let imported = desk.ok("rates import usd-2027-01-01.csv --yes");
    assert!(imported.starts_with("usd-2027-01-01 against usd-2026-10-01:\n"), "{imported}");
    let change = line(&imported, "turkey").split_whitespace().collect::<Vec<_>>();
    assert_eq!(change, ["turkey", "marketing", "0.0109", "0.011"], "{imported}");
    assert!(imported.contains("Imported usd-2027-01-01."), "{imported}");
    assert!(line(&desk.ok("rates price 905321234567 marketing --at 2027-01-02"), "Rate card").ends_with("usd-2027-01-01"));
}

#[test]
fn a_folder_in_use_without_a_socket_is_explained() {
    let desk = Desk::with_shop();
    let lock = std::fs::OpenOptions::new().write(true).mode(0o600).open(desk.path("turnpike-data/LOCK")).expect("the lock is there");
    lock.try_lock().expect("nobody has it");
    desk.fails("org list", 3, "another process uses");
}

#[test]
fn nothing_is_painted_where_nobody_looks() {
    let desk = Desk::with_shop();
    for line in ["app list", "ledger verify", "doctor", "config print", "--help"] {
        assert!(!desk.ok(line).contains('\u{1b}'), "{line}");
    }
}

#[test]
fn completions_know_the_commands() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = desk.ok(&format!("completions {shell}"));
        assert!(script.contains("turnpike") && script.contains("top-up"), "{shell}");
    }
}

/// A gateway that runs, until the test is over.
struct Served {
    child: Child,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts what goes on until it is stopped, and gives what it said when it was ready.
fn start(desk: &Desk, line: &str) -> (Served, Value) {
    let mut child =
        desk.program().args(words(line)).arg("--json").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it can be started");
    let mut ready = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    let served = Served { child };
    BufReader::new(stdout).read_line(&mut ready).expect("it says that it is ready");
    (served, serde_json::from_str(&ready).unwrap_or_else(|problem| panic!("{line}: {problem}: {ready}")))
}

fn demo(desk: &Desk) -> (Served, Value) {
    start(desk, "demo --listen 127.0.0.1:0")
}

/// Starts `serve`, and gives where.
fn serve(desk: &Desk, flags: &str) -> (Served, String) {
    let (served, ready) = start(desk, &format!("serve --listen 127.0.0.1:0 --no-sandbox {flags}"));
    (served, ready["address"].as_str().expect("it says where").to_owned())
}

#[test]
fn commands_work_on_a_running_gateway_over_its_socket() {
    let desk = Desk::new();
    let (_served, ready) = demo(&desk);
    let run = |line: &str| desk.ok(&format!("{line} --data turnpike-demo"));
    let sent = run("send --to 905321234567 --text hello");
    assert!(sent.starts_with("Sent: Meta took the message.\n"), "{sent}");
    let id = line(&sent, "Message").split_whitespace().last().expect("its id is shown").to_owned();
    assert!(run("send --to 905321234567 --text hello --sandbox").starts_with("Sent to the built-in simulator"));
    assert!(run("send --to 905321234567 --text hello --fake").starts_with("Checked; nothing was sent."));
    let template = "send --to 905321234567 --template shipping_update --language en_US --param ORD-7 --param shipped --param Monday";
    assert!(run(template).starts_with("Sent: Meta took the message.\n"));
    for _ in 0..2 {
        run("send --to 905321234567 --text once --idempotency-key order-7");
    }
    assert_eq!(desk.json("message list --data turnpike-demo --state accepted")["data"].as_array().map(Vec::len), Some(5));
    desk.write("body.json", r#"{"messaging_product":"whatsapp","to":"905321234567","type":"text","text":{"body":"from a file"}}"#);
    assert!(run("send --body body.json").contains("Wamid"));
    let shown = run(&format!("message show {id}"));
    assert!(line(&shown, "State").ends_with("accepted") && line(&shown, "Base fee").contains("captured"), "{shown}");
    let wamid = line(&shown, "Wamid").split_whitespace().last().expect("it has one").to_owned();
    assert!(run(&format!("message show {wamid}")).contains(&id));
    assert_eq!(run(&format!("wallet refund {id} --leg base --reason outage")), "Gave back the base fee: 0.001.\n");
    desk.fails(&format!("wallet refund {id} --leg base --reason outage --data turnpike-demo"), 1, "once");
    assert!(run("template sync").starts_with("Read "));
    assert!(run("template list").contains("shipping_update"));
    assert!(run("doctor").ends_with("Everything is as it should be.\n"));
    assert!(run("app suspend").contains("turnpike app resume demo"));
    desk.fails("send --to 905321234567 --text hello --data turnpike-demo", 1, "");
    assert!(run("app resume").starts_with("demo sends again."));
    assert!(run("backup while-it-runs").starts_with("Wrote a backup"));
    assert!(run("ledger verify").contains("The books balance"));
    let live = ready["liveKey"].as_str().expect("it has a live key");
    desk.fails(&format!("send --to 905321234567 --text x --sandbox --key {live} --data turnpike-demo"), 2, "sandbox key");
    desk.fails("send --to 905321234567 --text x --key pk_nonsense --data turnpike-demo", 2, "not copied whole");
    desk.fails("send --to 12 --text x --data turnpike-demo", 2, "to ");
    desk.fails("send --to 905321234567 --template nothing --language en_US --data turnpike-demo", 1, "no template");
    // Without an operator token nobody is told over the network that there are such routes.
    let address = ready["address"].as_str().expect("it has an address");
    desk.fails(&format!("org list --server {address}"), 4, "operator.token_file");
}

#[test]
fn a_demo_shows_an_endpoints_secrets_whenever_it_is_set() {
    let desk = Desk::new();
    let set = |url: &str| desk.json(&format!("webhook set --app demo --url {url} --data turnpike-demo"));
    let of = |endpoint: &Value| ["id", "secret", "bearer"].map(|name| endpoint[name].as_str().expect(name).to_owned());
    let first = {
        let (_served, _ready) = demo(&desk);
        let made = set("http://127.0.0.1:9/hook");
        assert_eq!(of(&set("http://127.0.0.1:9/hook")), of(&made), "again");
        let elsewhere = set("http://127.0.0.1:10/hook");
        assert_eq!((of(&elsewhere), elsewhere["url"].as_str()), (of(&made), Some("http://127.0.0.1:10/hook")), "elsewhere");
        assert!(desk.json("webhook show --data turnpike-demo").get("secret").is_none(), "only who sets it is shown");
        of(&made)
    };
    let (_served, _ready) = demo(&desk);
    assert_eq!(of(&set("http://127.0.0.1:9/hook")), first, "after a restart");
}

#[test]
fn what_the_simulator_plays_is_said_for_people_too() {
    let desk = Desk::new();
    let (_served, ready) = demo(&desk);
    let run = |line: &str| desk.ok(&format!("{line} --data turnpike-demo"));
    assert!(line(&run("sim clock"), "Speed").ends_with("1.0 times as fast as real time"));
    let address = ready["address"].as_str().expect("it says where");
    let told = run("sim webhooks");
    assert_eq!(line(&told, "Url"), format!("Url        {address}/v1/meta/webhook"), "{told}");
    assert!(told.contains("those that begin with sandbox-"), "{told}");
    assert!(run("sim script --clear").contains("forgotten"));
    desk.fails("sim status wamid.x --status reed --data turnpike-demo", 2, "delivered");
    desk.fails("sim status wamid.x --status read --data turnpike-demo", 1, "wamid.x");
}

#[test]
fn an_unknown_outcome_is_shown_and_resolved() {
    let desk = Desk::new();
    let (_served, _) = demo(&desk);
    // The simulator reads a message to this number and closes without an answer.
    desk.fails("send --to 1555010318 --text hello --data turnpike-demo", 3, "turnpike message show ");
    let unknown = desk.json("message list --state unknown --data turnpike-demo");
    let id = unknown["data"][0]["id"].as_str().expect("it is listed").to_owned();
    let resolve = format!("message resolve {id} --as not-sent --reason looked-it-up --data turnpike-demo");
    let resolved = desk.ok(&resolve);
    assert!(line(&resolved, "Base fee").contains("released"), "{resolved}");
    assert!(resolved.contains("kim: looked-it-up"), "{resolved}");
    desk.fails(&resolve, 1, "nothing to resolve");
}

/// Writes an operator token as `config operator-token` makes it.
fn operator_token(desk: &Desk, name: &str) -> PathBuf {
    let token = desk.ok("config operator-token");
    desk.write(name, &token)
}

#[test]
fn commands_reach_a_gateway_over_the_network_with_the_operator_token() {
    let desk = Desk::with_shop();
    let token = operator_token(&desk, "token");
    let other = operator_token(&desk, "other");
    let (_served, address) = serve(&desk, &format!("--set operator.token_file={}", token.display()));
    let over = |token: &Path, line: &str| format!("{line} --server {address} --operator-token-file {}", token.display());
    assert!(desk.ok(&over(&token, "org list")).contains("Acme"));
    assert!(desk.ok(&over(&token, "wallet top-up --amount 2.00")).contains("2.00 USD"));
    assert!(desk.ok("wallet show").contains("2.00 USD"), "the socket shows the same gateway");
    desk.fails(&over(&other, "org list"), 1, "--operator-token-file");
    desk.fails(&format!("org list --server {address}"), 1, "--operator-token-file");
}

#[test]
fn commands_reach_a_gateway_over_tls_when_its_authority_is_trusted() {
    let desk = Desk::with_shop();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("a certificate can be made");
    let cert = desk.write("cert.pem", &made.cert.pem());
    let key = desk.write("key.pem", &made.signing_key.serialize_pem());
    let token = operator_token(&desk, "token");
    let (token, cert, key) = (token.display(), cert.display(), key.display());
    let (_served, address) = serve(&desk, &format!("--tls-cert {cert} --tls-key {key} --set operator.token_file={token}"));
    let line = format!("org list --server {address} --operator-token-file {token}");
    assert!(desk.ok(&format!("{line} --ca-file {cert}")).contains("Acme"));
    desk.fails(&line, 3, "--ca-file");
}

#[test]
fn a_gateway_does_not_serve_a_demos_folder_by_accident() {
    let desk = Desk::new();
    drop(demo(&desk));
    desk.fails("serve --data turnpike-demo --listen 127.0.0.1:0", 1, "--adopt-demo");
}

#[test]
fn an_application_is_connected_to_its_number_and_sends() {
    let desk = Desk::with_shop();
    let (_simulator, ready) = start(&desk, "simulator --listen 127.0.0.1:0 --token EAAGOOD");
    let graph = ready["address"].as_str().expect("it says where");
    let (_served, _) = serve(&desk, &format!("--graph-url {graph}"));
    desk.write("good", "EAAGOOD\n");
    desk.write("bad", "EAABAD\n");
    let connect = "app connect --phone-number-id 1001 --waba-id 2001 --phone-number +15550001000 --token-file";
    assert!(line(&desk.ok(&format!("{connect} bad")), "Status").ends_with("ACTIVATED"));
    let printed = desk.run("doctor");
    assert_eq!(printed.code, 1, "{printed:?}");
    assert!(line(&printed.stdout, "FAIL").contains("application shop") && printed.stdout.ends_with("1 check failed.\n"), "{printed:?}");
    assert!(!desk.ok(&format!("{connect} good")).contains("EAAGOOD"));
    assert!(desk.ok("doctor").ends_with("Everything is as it should be.\n"));
    assert!(desk.ok("template sync").starts_with("Read 5 templates from Meta.\n"));
    desk.ok("wallet top-up --amount 1.00");
    let key = desk.json("key create");
    desk.write("key", key["key"].as_str().expect("it is shown"));
    desk.fails("send --to 905321234567 --text hello", 2, "--key-file");
    assert!(desk.ok("send --to +905321234567 --text hello --key-file key").starts_with("Sent: Meta took the message."));
}
