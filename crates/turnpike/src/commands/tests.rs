//! What holds for every command there is, also for the next one: a table over the tree that clap knows.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{CommandFactory as _, Parser as _};

use super::context::Context;
use crate::cli::Cli;
use crate::config::Environment;
use crate::failure::Failure;
use crate::output::Out;

/// Commands that work on no data folder, or make one by purpose.
const NOT_ON_A_KNOWN_FOLDER: [&str; 9] =
    ["serve", "demo", "simulator", "restore", "org create", "config check", "config print", "config operator-token", "completions"];

/// The rest, each as it could be typed. `FILE` is a file that can be read.
const ON_A_KNOWN_FOLDER: &[&str] = &[
    "org list",
    "org show",
    "org prices --base-fee 0.002",
    "app create Shop",
    "app list",
    "app show",
    "app connect --phone-number-id 1 --waba-id 2 --token-file FILE",
    "app set --name Shop",
    "app suspend",
    "app resume",
    "key create",
    "key list",
    "key revoke 01a203b9-49e6-715c-83a0-da2151211263",
    "key rotate 01a203b9-49e6-715c-83a0-da2151211263",
    "wallet show",
    "wallet top-up --amount 1.00",
    "wallet adjust --amount -1.00 --reason x",
    "wallet refund wamid.x --reason x",
    "wallet alert --below 5.00",
    "wallet statement",
    "rates show",
    "rates import FILE --yes",
    "rates price 905321234567 marketing",
    "ledger verify",
    "message list",
    "message show wamid.x",
    "message resolve wamid.x --as failed --reason x",
    "template list",
    "template sync",
    "user show 905321234567",
    "user wrote 905321234567",
    "user opt-out 905321234567",
    "user opt-in 905321234567",
    "user erase 905321234567 --yes",
    "user erasures",
    "webhook set --url https://shop.example.com/hook",
    "webhook list",
    "webhook show",
    "webhook delete",
    "webhook test",
    "webhook rotate",
    "webhook enable --backlog drop",
    "webhook disable",
    "webhook deliveries",
    "webhook attempts msg_1",
    "webhook replay msg_1",
    "quarantine list",
    "quarantine show 7",
    "quarantine replay 7",
    "quarantine discard 7",
    "listen",
    "send --to 905321234567 --text hello",
    "sim reply --from 905321234567 --text hello",
    "sim tap --from 905321234567",
    "sim status wamid.x --status read",
    "sim preference --from 905321234567 stop",
    "sim template order --status PAUSED",
    "sim event FILE",
    "sim script --clear",
    "sim clock --speed 2",
    "sim webhooks",
    "sim call --from 905321234567",
    "sim waba 200 --timezone-id 1",
    "doctor",
    "backup copy",
];

/// The commands that do something, by the words that name them.
fn leaves(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    for sub in command.get_subcommands() {
        let path = if path.is_empty() { sub.get_name().to_owned() } else { format!("{path} {}", sub.get_name()) };
        if sub.has_subcommands() {
            leaves(sub, &path, found);
        } else {
            found.insert(path);
        }
    }
}

/// What stands below or above the options of a command's help and of those below it.
fn prose(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    let texts = [command.get_after_help(), command.get_after_long_help(), command.get_long_about()];
    found.extend(texts.into_iter().flatten().map(|text| (path.to_owned(), text.to_string())));
    for sub in command.get_subcommands() {
        prose(sub, &format!("{path} {}", sub.get_name()), found);
    }
}

#[test]
fn no_line_of_a_help_is_so_long_that_it_is_broken_again() {
    let mut found = Vec::new();
    prose(&Cli::command(), "turnpike", &mut found);
    assert!(found.len() > 20, "the texts are found: {}", found.len());
    for (path, text) in found {
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{path} --help: {line}");
        }
    }
}

/// The words of a line that name its command.
fn named(line: &str, all: &BTreeSet<String>) -> Option<String> {
    all.iter().filter(|path| line == path.as_str() || line.starts_with(&format!("{path} "))).max_by_key(|path| path.len()).cloned()
}

fn try_on(line: &str, folder: &Path, file: &Path) -> Result<(), Failure> {
    let words = format!("turnpike {line}").replace("FILE", &file.display().to_string());
    let typed = Cli::try_parse_from(words.split(' ').map(str::to_owned)).unwrap_or_else(|error| panic!("{line}: {error}"));
    let environment = Environment::of([("USER", "kim")]);
    let context = Context { data: Some(folder.to_owned()), out: Out::new(false, &environment), environment };
    crate::run(typed.command, &context)
}

#[test]
fn no_command_makes_the_folder_whose_name_was_mistyped() {
    let mut all = BTreeSet::new();
    leaves(&Cli::command(), "", &mut all);
    let covered: BTreeSet<String> = ON_A_KNOWN_FOLDER.iter().filter_map(|line| named(line, &all)).collect();
    let elsewhere: BTreeSet<String> = NOT_ON_A_KNOWN_FOLDER.iter().map(|&path| path.to_owned()).collect();
    let missing: Vec<&String> = all.iter().filter(|path| !covered.contains(*path) && !elsewhere.contains(*path)).collect();
    assert!(missing.is_empty(), "say in one of these tables how this goes on a folder that is none: {missing:?}");
    assert!(covered.is_disjoint(&elsewhere) && elsewhere.is_subset(&all), "a table names a command that is not there, or twice");

    let desk = tempfile::tempdir().expect("a folder");
    let file = desk.path().join("file.json");
    std::fs::write(&file, "{}").expect("it can be written");
    let empty = desk.path().join("empty");
    std::fs::create_dir(&empty).expect("it can be made");
    for line in ON_A_KNOWN_FOLDER {
        for folder in [desk.path().join("mistyped"), empty.clone(), file.clone()] {
            match try_on(line, &folder, &file) {
                Err(Failure::NotFound(said)) => {
                    assert!(said.contains(&*folder.display().to_string()), "{line}: {said}");
                    assert!(said.contains("--data DIR") && said.contains("turnpike org create"), "{line}: {said}");
                }
                other => panic!("{line} on {}: {other:?}", folder.display()),
            }
        }
        assert!(!desk.path().join("mistyped").exists(), "{line} made the folder");
        assert_eq!(std::fs::read_dir(&empty).expect("it is there").count(), 0, "{line} left something");
    }
}
