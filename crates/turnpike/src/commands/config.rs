//! `turnpike config`: what is wrong with the configuration, and what holds and why.

use serde_json::{Value, json};
use turnpike_domain::api_key::OperatorToken;
use turnpike_engine::entropy::{Entropy as _, SystemEntropy};

use super::context::{Context, count};
use crate::cli::{ConfigArgs, ConfigCommand, SettingArgs};
use crate::config::{self, DEFAULT_FILE, Overlay, Problem, Severity, print};
use crate::failure::Failure;
use crate::output::{Cell, Side, Style, Table};

/// Does it.
pub(crate) fn run(args: &ConfigArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Check(settings) => check(context, settings),
        ConfigCommand::Print { default: true, .. } => {
            context.out.line(DEFAULT_FILE.trim_end());
            Ok(())
        }
        ConfigCommand::Print { settings, .. } => {
            show(context, settings);
            Ok(())
        }
        ConfigCommand::OperatorToken => {
            let mut random = [0; 32];
            SystemEntropy.fill(&mut random);
            let token = OperatorToken::generate(random);
            if context.out.json {
                context.out.data(&json!({"token": token.reveal()}));
            } else {
                context.out.line(token.reveal());
            }
            Ok(())
        }
    }
}

fn check(context: &Context, settings: &SettingArgs) -> Result<(), Failure> {
    let overlay = Overlay::gather(context.data.as_deref(), settings, &context.environment);
    let (_, problems) = config::examine(&overlay);
    let refused = problems.0.iter().filter(|problem| problem.severity == Severity::Refused).count();
    let verdict = if refused == 0 { Ok(()) } else { Err(Failure::Said) };
    if context.out.json {
        let list: Vec<Value> = problems.0.iter().map(to_json).collect();
        context.out.data(&json!({"usable": refused == 0, "file": overlay.file, "problems": list}));
        return verdict;
    }
    for problem in &problems.0 {
        let (word, style) = match problem.severity {
            Severity::Refused => ("refused", Style::Bad),
            Severity::Warning => ("warning", Style::Warn),
        };
        context.out.line(format!("{}  {problem}", context.out.paint(style, word)));
    }
    let of = overlay
        .file
        .as_ref()
        .map_or_else(|| "no configuration file; flags, environment and defaults".to_owned(), |file| file.display().to_string());
    context.out.line(match refused {
        0 => format!("The configuration can be used ({of})."),
        refused => format!("The configuration cannot be used: {} ({of}).", count(refused, "problem", "problems")),
    });
    verdict
}

fn to_json(problem: &Problem) -> Value {
    let severity = match problem.severity {
        Severity::Refused => "refused",
        Severity::Warning => "warning",
    };
    json!({"severity": severity, "place": problem.place, "problem": problem.sentence})
}

fn show(context: &Context, settings: &SettingArgs) {
    let overlay = Overlay::gather(context.data.as_deref(), settings, &context.environment);
    if context.out.json {
        return context.out.data(&print::json(&overlay));
    }
    let mut table = Table::new([("setting", Side::Left), ("value", Side::Left), ("from", Side::Left)]);
    for line in print::lines(&overlay) {
        let from = if line.source == "default" { Style::Dim } else { Style::Good };
        let value = if line.source.is_empty() { Cell::new("(not set)", Style::Dim) } else { line.value.into() };
        table.row([line.key.into(), value, Cell::new(line.source, from)]);
    }
    context.out.table(&table);
    for problem in &config::examine(&overlay).1.0 {
        eprintln!("{problem}");
    }
}
