//! Who was erased stays erased: when an older backup comes back, when the process is killed anywhere in
//! between, and in the record of the simulator beside the gateway. Others keep what is theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Ask;
use crate::house::{House, NUMBER_ID, Plan, connection, key_text, post, text};
use crate::intake_kill::{plan, signed};
use crate::process::text_of;

/// Who asks to be forgotten.
const USER: &str = "905321119988";
/// Whose data must stay.
const NEIGHBOUR: &str = "905321119987";

/// A house with one user's data in every place, and who else has the same user's or a neighbour's.
struct Filled {
    house: House,
    /// A live message to the user, and one to the neighbour.
    message: String,
    neighbours: String,
    /// Another organization's key, and its message to the same user.
    other_key: String,
    other_message: String,
}

/// A message of Meta's from `user` to a number.
fn from(user: &str, number: &str, account: &str, wamid: &str) -> String {
    json!({"object": "whatsapp_business_account", "entry": [{"id": account, "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001000", "phone_number_id": number},
        "contacts": [{"profile": {"name": "A user"}, "wa_id": user}],
        "messages": [{"from": user, "id": wamid, "timestamp": "1795000000", "type": "text", "text": {"body": "my secret"}}],
    }}]}]})
    .to_string()
}

async fn sent(house: &House, key: &str, to: &str) -> String {
    let answer = house.api.call(post(key, &text(to))).await;
    assert_eq!(answer.status, 200, "{}", answer.summary());
    answer.json()["data"]["messages"][0]["id"].as_str().expect("an id").to_owned()
}

async fn fill() -> Filled {
    fill_with(&[]).await
}

/// The same with other settings beside the usual ones.
async fn fill_with(settings: &[String]) -> Filled {
    let usual = plan();
    let house = House::open(Plan { settings: [usual.settings.clone(), settings.to_vec()].concat(), ..usual }).await;
    house.order("/organizations", json!({"name": "Other"})).await;
    house.order("/organizations/Other/wallet/top-up", json!({"amount": "10.00", "reason": "paid in"})).await;
    let other = connection("100000000000002", "200000000000002");
    house.order("/applications", json!({"displayName": "Other", "appId": "other", "org": "Other", "connect": other})).await;
    let other_key = key_text(&house.new_key("other", json!({})).await);
    let message = sent(&house, &house.live, USER).await;
    let neighbours = sent(&house, &house.live, NEIGHBOUR).await;
    sent(&house, &house.sandbox, USER).await;
    let other_message = sent(&house, &other_key, USER).await;
    // To the application; to nobody here, and so into quarantine; to the other organization.
    for (number, account, wamid) in [
        (NUMBER_ID, "200000000000001", "wamid.A"),
        ("100000000000009", "200000000000009", "wamid.Q"),
        ("100000000000002", "200000000000002", "wamid.O"),
    ] {
        let taken = house.api.call(signed(&from(USER, number, account, wamid))).await;
        assert_eq!(taken.status, 200, "{}", taken.summary());
    }
    Filled { house, message, neighbours, other_key, other_message }
}

/// Files of a folder that hold these bytes.
fn files_with(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if path.is_file() && fs::read(&path).expect("read").windows(needle.len()).any(|window| window == needle.as_bytes()) {
            found.push(path);
        }
    }
    found
}

impl Filled {
    /// Whom a message went to, as its owner sees it.
    async fn recipient(&self, key: &str, id: &str) -> Value {
        let answer = self.house.api.call(Ask::get(&format!("/v1/wa/message/{}", crate::house::encoded(id))).bearer(key)).await;
        assert_eq!(answer.status, 200, "{}", answer.summary());
        answer.json()["data"]["to"].clone()
    }

    async fn erase(&self) -> Value {
        self.house.order("/organizations/Acme/erase", json!({"user": format!("+{USER}")})).await
    }

    /// Every erasure, once all are done.
    async fn erasures_done(&self) -> Vec<Value> {
        for _ in 0..1_500 {
            let all = self.house.ask("/organizations/Acme/erasures").await;
            let all = all.as_array().expect("a list").clone();
            if all.iter().all(|erasure| erasure["state"] == "done") {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("an erasure does not end: {:#}", self.house.ask("/organizations/Acme/erasures").await)
    }

    /// Nothing of the user in any file, nor in what the owner sees; all of everybody else's.
    async fn assert_forgotten(&self) {
        assert_eq!(self.recipient(&self.house.live, &self.message).await, Value::Null);
        assert_eq!(files_with(&self.house.data(), USER), [] as [PathBuf; 0]);
        assert_eq!(self.recipient(&self.house.live, &self.neighbours).await, json!(NEIGHBOUR));
        assert_eq!(self.recipient(&self.other_key, &self.other_message).await, json!(USER), "another's chat is another's");
        self.house.verify().await;
    }

    /// Moves the data folder away, as who replaces it does; the master key stays in its place.
    fn replace(&mut self, old: &Path, keep_key: bool) {
        self.house.kill_gateway();
        let data = self.house.data();
        fs::rename(&data, old).expect("moved");
        if keep_key {
            fs::create_dir(&data).expect("made");
            fs::copy(old.join("master.key"), data.join("master.key")).expect("copied");
        }
    }

    /// A command on the data folder: its exit code and what it printed.
    fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let data = text_of(&self.house.data());
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike"));
        // Where no gateway runs, it asks Meta itself.
        command.args(arguments).args(["--data", &data]).env("TURNPIKE_GRAPH_URL", self.house.simulator_url());
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// What `turnpike doctor` says of erasures, and its exit code.
    fn doctor(&self) -> (Option<i32>, String) {
        let (code, said) = self.command(&["doctor"]);
        let of_erasures = |line: &&str| line.split_whitespace().nth(1) == Some("erasures");
        let line = said.lines().find(of_erasures).unwrap_or_else(|| panic!("no word of erasures: {said}")).to_owned();
        (code, line.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// `turnpike restore`; its report.
    fn restore(&self, backup: &Path, more: &[&str]) -> Value {
        let data = text_of(&self.house.data());
        let output = Command::new(env!("CARGO_BIN_EXE_turnpike"))
            .args(["restore", &text_of(backup), "--data", &data, "--json"])
            .args(more)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_was_erased_is_not_brought_back_by_an_older_backup() {
    let mut filled = fill().await;
    let room = tempfile::tempdir().expect("a folder");
    let (backup, old, older) = (room.path().join("backup"), room.path().join("old"), room.path().join("older"));
    filled.house.order("/backup", json!({"target": backup})).await;
    assert!(!files_with(&filled.house.data(), USER).is_empty(), "the simulator's record names whom the sandbox key sent to");
    let erased = filled.erase().await;
    assert_eq!(erased["state"], "done", "{erased}");
    // The live message, the sandbox one, their events, the webhook of the application and that in quarantine.
    assert!(erased["erased"].as_u64() >= Some(4) && erased["webhooks"].as_u64() >= Some(1), "{erased}");
    filled.assert_forgotten().await;

    // Another organization neither sees the erasure nor may ask for its own by that name.
    let id = erased["id"].as_str().expect("an id");
    let others = filled.house.operator.call(Ask::get(&format!("/api/v1/operator/organizations/Other/erasures/{id}"))).await;
    assert_eq!(others.status, 404, "{}", others.summary());
    assert_eq!(filled.house.ask("/organizations/Other/erasures").await, json!([]));
    assert_eq!(filled.house.try_order("/organizations/Nobody/erase", json!({"user": USER})).await.status, 404);

    // Restored with its key in place: applied before it is started.
    filled.replace(&old, true);
    let report = filled.restore(&backup, &["--erasures", &text_of(&old)]);
    assert_eq!((&report["erasuresOwed"], &report["erasuresApplied"]), (&json!(1), &json!(true)), "{report:#}");
    filled.house.reopen_gateway();
    let known = filled.erasures_done().await;
    assert_eq!((known.len(), &known[0]["id"]), (1, &erased["id"]));
    filled.assert_forgotten().await;

    // Without its key: the first start applies it, before anybody can ask for what it brought back.
    filled.replace(&older, false);
    let report = filled.restore(&backup, &["--erasures", &text_of(&older.join("erasures.journal"))]);
    assert_eq!((&report["erasuresOwed"], &report["erasuresApplied"]), (&json!(1), &json!(false)), "{report:#}");
    fs::copy(older.join("master.key"), filled.house.data().join("master.key")).expect("copied");
    filled.house.reopen_gateway();
    assert_eq!(filled.recipient(&filled.house.live, &filled.message).await, Value::Null, "the rows are empty at once");
    filled.erasures_done().await;
    filled.assert_forgotten().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_is_killed_anywhere_is_carried_out_by_the_next_start() {
    let mut filled = fill().await;
    let mut asked = 0;
    for round in 0..12_u64 {
        let message = sent(&filled.house, &filled.house.live, USER).await;
        let wamid = format!("wamid.K{round}");
        let taken = filled.house.api.call(signed(&from(USER, NUMBER_ID, "200000000000001", &wamid))).await;
        assert_eq!(taken.status, 200, "{}", taken.summary());
        // From before the journal's line to after the end: whatever the machine's pace, some rounds
        // fall in between, and every one must end alike.
        let erase = async { filled.house.try_order("/organizations/Acme/erase", json!({"user": USER})).await.status };
        let answered = tokio::time::timeout(Duration::from_millis(round * 3), erase).await;
        filled.house.kill_gateway();
        filled.house.reopen_gateway();
        let all = filled.erasures_done().await;
        assert!(answered.is_err() || all.len() > asked, "an answered erasure is remembered");
        assert!(all.len() >= asked && all.len() <= asked + 1, "{all:#?}");
        if all.len() > asked {
            assert_eq!(filled.recipient(&filled.house.live, &message).await, Value::Null, "round {round}");
        }
        asked = all.len();
    }
    // However the kills fell: one that is let through is carried out.
    filled.erase().await;
    filled.erasures_done().await;
    filled.assert_forgotten().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_the_folder_with_its_disk_loses_no_erasure_where_a_copy_of_the_journal_is_kept_elsewhere() {
    let room = tempfile::tempdir().expect("a folder");
    let (backup, elsewhere) = (room.path().join("backup"), room.path().join("elsewhere"));
    let mut filled = fill_with(&[format!("retention.erasures_copy={}", text_of(&elsewhere))]).await;
    // Its disk is not mounted: that is said, and holds nobody up.
    let (code, line) = filled.doctor();
    assert_eq!((code, line.starts_with("FAIL erasures the copy of erasures.journal")), (Some(1), true), "{line}");
    filled.house.order("/backup", json!({"target": backup})).await;
    fs::create_dir(&elsewhere).expect("mounted");
    assert_eq!(filled.erase().await["state"], "done");
    let (code, line) = filled.doctor();
    assert_eq!((code, line.as_str()), (Some(0), "ok erasures none waits"));
    let copied = fs::read_to_string(elsewhere.join("erasures.journal")).expect("it was written before the answer");
    assert_eq!(copied, fs::read_to_string(filled.house.data().join("erasures.journal")).expect("a file"));
    assert!(!copied.contains(USER), "{copied}");

    // The folder is gone for good. On the new machine nobody names the copy: the first start finds it.
    let key = fs::read(filled.house.data().join("master.key")).expect("kept elsewhere, as one should");
    let anew = |filled: &mut Filled| {
        filled.house.kill_gateway();
        fs::remove_dir_all(filled.house.data()).expect("gone");
    };
    anew(&mut filled);
    let report = filled.restore(&backup, &[]);
    assert_eq!(report["erasuresOwed"], 0, "{report:#}");
    assert!(report["next"].to_string().contains("erasures.journal"), "{report:#}");
    fs::write(filled.house.data().join("master.key"), &key).expect("put back");
    fs::set_permissions(filled.house.data().join("master.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
    filled.house.reopen_gateway();
    assert_eq!(filled.recipient(&filled.house.live, &filled.message).await, Value::Null, "the rows are empty at once");
    filled.erasures_done().await;
    filled.assert_forgotten().await;

    // Or somebody names it.
    anew(&mut filled);
    let report =
        filled.restore(&backup, &["--erasures", &text_of(&elsewhere), "--erasures", &text_of(&elsewhere.join("erasures.journal"))]);
    assert_eq!(report["erasuresOwed"], 1, "one, named twice: {report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_how_far_erasures_are_and_what_is_wrong_with_them() {
    let mut filled = fill().await;
    let room = tempfile::tempdir().expect("a folder");
    let (backup, old) = (room.path().join("backup"), room.path().join("old"));
    filled.house.order("/backup", json!({"target": backup})).await;
    assert_eq!(filled.command(&["user", "erasures", "--org", "Acme"]), (Some(0), "Nobody was erased.\n".to_owned()));
    assert_eq!(filled.doctor(), (Some(0), "ok erasures none waits".to_owned()));

    let (code, said) = filled.command(&["user", "erase", &format!("+{USER}"), "--org", "Acme", "--yes"]);
    assert_eq!((code, said.contains("emptied, of a user known under")), (Some(0), true), "{said}");
    let (code, listed) = filled.command(&["user", "erasures", "--org", "Acme"]);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, rows.len()), (Some(0), 2), "{listed}");
    assert!(rows[1].contains(&"done") && !listed.contains(USER), "{listed}");
    let (_, shown) = filled.command(&["user", "erasures", "--org", "Acme", "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown[0]["state"], shown[0]["again"].as_bool()), (&json!("done"), Some(false)), "{shown}");
    assert!(shown[0]["doneAt"].is_string() && shown[0]["erased"].as_u64() >= Some(4), "{shown}");
    assert_eq!(filled.command(&["user", "erasures", "--org", "Other"]).1, "Nobody was erased.\n");

    // One that an older backup owes, asked for more than 72 hours ago; no gateway runs yet.
    filled.replace(&old, false);
    filled.restore(&backup, &["--erasures", &text_of(&old)]);
    fs::copy(old.join("master.key"), filled.house.data().join("master.key")).expect("copied");
    let journal = filled.house.data().join("erasures.journal");
    let told = fs::read_to_string(&journal).expect("a file");
    let asked_at = told.split(r#""at":"#).nth(1).and_then(|rest| rest.split(',').next()).expect("a time").to_owned();
    let longer_ago = asked_at.parse::<i64>().expect("milliseconds") - 73 * 3_600_000;
    fs::write(&journal, told.replace(&asked_at, &longer_ago.to_string())).expect("written");
    assert_eq!(filled.doctor(), (Some(1), "FAIL erasures 1 are not done after 72 hours".to_owned()));
    let (_, listed) = filled.command(&["user", "erasures", "--org", "Acme"]);
    assert!(listed.contains("pending"), "{listed}");

    // A line that nobody can read: whom it is about is not known, and somebody must see to it.
    filled.house.reopen_gateway();
    filled.erasures_done().await;
    filled.house.kill_gateway();
    let told = fs::read_to_string(&journal).expect("a file");
    fs::write(&journal, format!("{told}{{\"erase\":1}}\n")).expect("written");
    assert_eq!(filled.doctor(), (Some(1), "FAIL erasures 1 cannot be read, so nobody knows whom they are about".to_owned()));
}
