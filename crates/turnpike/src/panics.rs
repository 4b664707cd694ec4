//! What is told of a panic: the place, the thread, and no words that were put together at run time.
//!
//! The standard hook writes a panic's own words to stderr, and those may hold what is never logged: a
//! body, a number, a key that some formatted expectation had in hand (contract §10). Here a panic is a
//! line of the log like any other; its words are shown only where they stand in the source as they are.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use turnpike_engine::metrics::Metrics;

/// Panics of this process.
static PANICS: LazyLock<Counter<u64, AtomicU64>> = LazyLock::new(Counter::default);

/// From now on panics of any thread are told this way.
pub(crate) fn watch() {
    std::panic::set_hook(Box::new(tell));
}

/// Shows their number among the gateway's metrics.
pub(crate) fn count_in(metrics: &Metrics) {
    metrics.register(|registry| registry.register("panics", "Panics, each of them a bug", Counter::clone(&PANICS)));
}

fn tell(panic: &PanicHookInfo<'_>) {
    PANICS.inc();
    let place = panic.location().map(ToString::to_string);
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    // A text of the source code; what was formatted is a `String`.
    let words = panic.payload().downcast_ref::<&'static str>().copied();
    // Only where RUST_BACKTRACE asks for it. It names functions and no values.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if tracing::dispatcher::has_been_set() {
        tracing::error!(place, thread, words, backtrace, "a bug: a thread panicked");
        return;
    }
    // A command does not log. Nothing may go wrong within a panic, so a closed stderr is no matter.
    let place = place.as_deref().unwrap_or("an unknown place");
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    let backtrace = backtrace.map(|backtrace| format!("\n{backtrace}")).unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "turnpike: a bug: thread {thread} panicked at {place}{words}{backtrace}");
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::config::{Log, LogFormat};

    /// Words that no source holds as they stand: they exist at run time only.
    fn secret() -> String {
        ["meet me", "at nine"].join(" ").replace(' ', "_")
    }

    /// Panics in both ways, as a process of its own: a hook and a log are one per process.
    fn panic_twice() {
        watch();
        let metrics = Metrics::default();
        count_in(&metrics);
        for with_secret in [true, false] {
            let body = secret();
            let thread = std::thread::Builder::new().name("a-worker".to_owned()).spawn(move || {
                assert!(!with_secret, "cannot read the body {body}");
                panic!("the books do not balance");
            });
            let ended = thread.expect("a thread").join();
            assert!(ended.is_err(), "it panicked");
        }
        assert!(metrics.render().contains("turnpike_panics_total 2\n"), "{}", metrics.render());
    }

    #[test]
    #[ignore = "run by the tests below, in a process of its own"]
    fn panics_in_a_gateway() {
        crate::log::begin(&Log { level: "info".to_owned(), format: LogFormat::Json });
        panic_twice();
    }

    #[test]
    #[ignore = "run by the tests below, in a process of its own"]
    fn panics_in_a_command() {
        panic_twice();
    }

    /// What a process that runs one of the above writes.
    fn output_of(test: &str, backtrace: &str) -> String {
        let this = std::env::current_exe().expect("the tests' own program");
        let name = format!("panics::tests::{test}");
        let ran = Command::new(this)
            .args(["--ignored", "--exact", "--nocapture", &name])
            .env("RUST_BACKTRACE", backtrace)
            .output()
            .expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        said
    }

    #[test]
    fn a_panics_own_words_are_told_only_where_they_stand_in_the_source() {
        for (test, backtrace) in
            [("panics_in_a_gateway", "0"), ("panics_in_a_gateway", "1"), ("panics_in_a_command", "0"), ("panics_in_a_command", "1")]
        {
            let said = output_of(test, backtrace);
            assert!(!said.contains(&secret()) && !said.contains("cannot read the body"), "{said}");
            assert!(said.contains("the books do not balance"), "{said}");
            assert_eq!(said.matches("src/panics.rs:").count().min(2), 2, "each with its place: {said}");
            assert!(said.contains("a-worker"), "and its thread: {said}");
        }
    }

    #[test]
    fn a_gateway_logs_a_panic_as_a_line_of_its_log() {
        let said = output_of("panics_in_a_gateway", "0");
        let lines: Vec<serde_json::Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(lines.len(), 2, "{said}");
        for (line, words) in lines.iter().zip([None, Some("the books do not balance")]) {
            assert_eq!((line["level"].as_str(), line["thread"].as_str(), line["words"].as_str()), (Some("ERROR"), Some("a-worker"), words));
            assert!(line["place"].as_str().is_some_and(|place| place.contains("src/panics.rs:")), "{line}");
        }
    }
}
