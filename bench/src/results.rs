//! The results as people read them: the tables on the screen and in `bench/RESULTS.md`.

use std::fmt::Write as _;

use crate::figures::{Bound, Goal, SideBySide, Track, added, number};
use crate::rounds::{FOREIGN_MAX, STEADY_CONNECTIONS, STEADY_RATE, Slice};
use crate::stats::median;

/// Everything that a full run measured.
pub(crate) struct Results {
    /// Under saturating load.
    pub(crate) connections: usize,
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) nginx: String,
    pub(crate) gateway: String,
    pub(crate) both: SideBySide,
    pub(crate) idle_mib: f64,
    pub(crate) loaded_mib: f64,
    /// Ratio, and MiB with the many keys.
    pub(crate) keys: (f64, f64),
    pub(crate) messages: f64,
    pub(crate) demo_ms: f64,
    pub(crate) webhooks: crate::webhooks::Figures,
    pub(crate) chaos: crate::webhooks::chaos::Report,
    /// Foreign shares of all slices, and how many stayed disturbed.
    pub(crate) foreign: Vec<f64>,
    pub(crate) disturbed: u32,
}

impl Results {
    /// The goals, each with what was measured.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let line = self.both.line(self.idle_mib);
        let goal = |what, is, bound, unit| Goal { what, is, bound, unit };
        vec![
            goal("CPU per message, over nginx's", self.both.cpu_ratio(), Bound::AtMost(2.0), " ×"),
            goal("durable messages a second", line.messages_per_s, Bound::AtLeast(8_000.0), ""),
            goal("added p50 at 1,000/s", line.added_p50_us / 1_000.0, Bound::AtMost(1.0), " ms"),
            goal("p99 at 1,000/s, over nginx's", self.both.p99_ratio(), Bound::AtMost(2.0), " ×"),
            goal("CPU per message with 1,000,000 keys, over that with one", self.keys.0, Bound::AtMost(1.2), " ×"),
            goal("CPU per message after 2,000,000 stored messages, over that of an empty store", self.messages, Bound::AtMost(1.2), " ×"),
            goal("resident memory of an idle `turnpike serve`", self.idle_mib, Bound::AtMost(40.0), " MiB"),
            goal("`turnpike demo` ready", self.demo_ms, Bound::AtMost(500.0), " ms"),
        ]
    }

    /// The whole as Markdown.
    pub(crate) fn to_markdown(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing into a text cannot fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# What a message costs\n")?;
        writeln!(out, "Written by `cargo run --release -p bench`; what it does is told in `bench/README.md`.\n")?;
        writeln!(out, "- Date: {}", self.date)?;
        writeln!(out, "- Machine: {}", self.machine)?;
        writeln!(out, "- Gateway: {}; nginx: {}", self.gateway, self.nginx)?;
        writeln!(
            out,
            "- Foreign processes took {:.2} of one processor in the median slice, {:.2} in the worst; {} of {} slices stayed above {FOREIGN_MAX}",
            median(self.foreign.iter().copied()),
            self.foreign.iter().copied().fold(0.0, f64::max),
            self.disturbed,
            self.foreign.len()
        )?;
        writeln!(out, "\n## Goals\n")?;
        writeln!(out, "| what | measured | goal | |\n| --- | --- | --- | --- |")?;
        for goal in self.goals() {
            writeln!(out, "{}", goal.row())?;
        }
        writeln!(out, "\n## Side by side\n")?;
        out.push_str(&side_by_side(&self.both, self.connections));
        let (low, high) = self.both.cpu_ratio_spread();
        writeln!(
            out,
            "\nCPU over nginx's: {}, middle half of the rounds {} to {}.",
            number(self.both.cpu_ratio()),
            number(low),
            number(high)
        )?;
        writeln!(
            out,
            "Resident memory of the gateway: {} MiB idle, {} MiB after the run, {} MiB with 1,000,000 keys that all sent.",
            number(self.idle_mib),
            number(self.loaded_mib),
            number(self.keys.1)
        )?;
        write!(out, "\n{}\n{}", self.webhooks.to_markdown(), self.chaos.to_markdown())
    }
}

/// The table of the three.
pub(crate) fn side_by_side(both: &SideBySide, connections: usize) -> String {
    let mut out = format!(
        "Saturated: {connections} connections, each sending as soon as it was answered. Steady: {STEADY_RATE:.0} requests a second over \
         {STEADY_CONNECTIONS} connections, timed from when each was due. Medians of {} rounds; CPU in µs per request, times in µs.\n\n\
         | | CPU saturated | requests/s | CPU steady | p50 | p90 | p99 | added p50 | added p99 |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        both.gateway.steady.len()
    );
    for (name, track) in [("upstream alone", &both.direct), ("nginx", &both.nginx), ("gateway", &both.gateway)] {
        let saturated = |figure: fn(&Slice) -> f64| {
            if track.saturated.is_empty() { "–".to_owned() } else { number(median(track.saturated.iter().map(figure))) }
        };
        let steady = |figure: fn(&Slice) -> f64| number(median(track.steady.iter().map(figure)));
        let more = |track: &Track, figure: fn(&Slice) -> f64| number(added(track, &both.direct, figure));
        let cells = [
            name.to_owned(),
            saturated(|slice| slice.cpu_us),
            saturated(|slice| slice.seen.per_second),
            steady(|slice| slice.cpu_us),
            steady(|slice| slice.seen.p50_us),
            steady(|slice| slice.seen.p90_us),
            steady(|slice| slice.seen.p99_us),
            more(track, |slice| slice.seen.p50_us),
            more(track, |slice| slice.seen.p99_us),
        ];
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}
