//! Bugs that such gateways really had, planted one by one into the gateway under test: each must be
//! found by the test that is there to find it. A test that cannot fail is worth nothing.
//!
//! One build serves all of them: the bug is chosen when the gateway starts, by a variable that only
//! a program with the feature `planted-bugs` reads.

use std::future::Future;

use tokio::task::JoinSet;

use crate::client::Ask;
use crate::house::{House, Plan, recipient, text};
use crate::{idempotency, kill, matrix, money};

/// Kills of a run that looks for a planted bug: each of these bugs shows within a few.
const KILLS: usize = 12;

/// The seed of those runs.
const SEED: u64 = 4711;

type Environment = Vec<(&'static str, String)>;

fn with(bug: &str) -> Environment {
    vec![("TURNPIKE_PLANTED_BUG", bug.to_owned())]
}

/// Runs a promise with a planted bug: it must break, and for the reason that the bug gives.
async fn breaks<F>(bug: &'static str, promise: impl FnOnce(Environment) -> F, because: &[&str])
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    running.spawn(promise(with(bug)));
    let ended = running.join_next().await.expect("one was spawned");
    let Err(broken) = ended else { panic!("the bug {bug} was planted, and no test found it") };
    let reason = broken.into_panic();
    let reason = reason.downcast_ref::<String>().map_or_else(|| reason.downcast_ref::<&str>().copied().unwrap_or(""), String::as_str);
    assert!(because.iter().any(|words| reason.contains(words)), "{bug} was found for another reason than {because:?}:\n{reason}");
    println!("{bug} was found: {}", reason.lines().take(2).collect::<Vec<_>>().join(" "));
}

/// The kill test's promise, with few kills.
async fn kills(environment: Environment) {
    let run = kill::rounds(KILLS, SEED, environment).await;
    assert!(run.violations.is_empty(), "{}", run.violations.join("\n"));
}

/// One behaviour of the matrix, in all its cells.
async fn one_behaviour(environment: Environment, name: &'static str) {
    matrix::whole(environment, |behaviour| behaviour == name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_found_where_nothing_is_planted() {
    kills(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_its_commit_is_found() {
    breaks("AnswerBeforeCommit", kills, &["is lost", "no message of it was stored", "is found as"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_outcome_is_found() {
    breaks("OutcomeNotKept", kills, &["is found as"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_given_back_at_the_start_is_found() {
    breaks("ReleaseAtRestart", kills, &["a duplicate", "the ledger is not clean", "the wallet is"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_that_is_sent_again_is_found() {
    breaks("UnknownFreesKey", kills, &["a duplicate", "two messages"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_taken_twice_is_found() {
    breaks("DoubleCapture", kills, &["the ledger is not clean", "the wallet is"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_taken_for_unsent_is_found() {
    breaks("ReleaseOnTimeout", |bug| one_behaviour(bug, "hang"), &["unknown (\"held\", \"held\") expected"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_on_a_server_error_is_found() {
    breaks("RetryOnServerError", |bug| one_behaviour(bug, "html_500"), &["POSTs were recorded", "was POSTed 2 times"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_ends_with_its_callers_time_is_found() {
    breaks("SendNotDetached", matrix::a_late_answer, &["the late answer was lost"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_keeps_the_money_is_found() {
    let because = ["(\"released\", \"released\") expected", "the ledger is not clean"];
    breaks("RefusalKeepsHold", |bug| one_behaviour(bug, "error_100"), &because).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_claimed_too_late_is_found() {
    // Where so many send for themselves, some may run into the pair rate: that is found as well.
    let because = ["sent for themselves", "a repeat is the first answer or still in flight"];
    breaks("KeyClaimedLate", idempotency::a_thousand_repeats, &because).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_answers_another_request_is_found() {
    breaks("FingerprintIgnored", idempotency::another_request_under_the_key, &["another body"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_without_its_holds_is_found() {
    breaks("HoldsNotCounted", money::a_wallet_for_half, &["admitted"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_callers_own_words_is_told_without_them() {
    let environment = [with("PanicWithBody"), vec![("RUST_BACKTRACE", "1".to_owned())]].concat();
    let house = House::open(Plan { environment, ..Plan::default() }).await;
    let mut message = text(&recipient(7));
    message["text"]["body"] = "heliotrope".into();
    let answer = house.send(&message).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "SYS_001"), "{}", answer.summary());
    let metrics = house.api.call(Ask::get("/metrics")).await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("turnpike_panics_total 1\n"), "{}", metrics.summary());
    let words = house.gateway.words();
    assert!(words.contains("a bug: a thread panicked") && words.contains("messaging/send.rs:"), "it is told, with its place:\n{words}");
    for secret in ["heliotrope", "cannot send", &recipient(7)] {
        assert!(!words.contains(secret) && !answer.summary().contains(secret), "{secret} is given away:\n{words}");
    }
    assert_eq!(house.api.call(Ask::get("/v1/wa/me").bearer(&house.live)).await.status, 200, "and everything else goes on");
}
