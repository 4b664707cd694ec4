//! The figures: what many slices of each subject come to, and the goals beside them.

use serde::Serialize;

use crate::rounds::Slice;
use crate::stats::{median, quartiles};

/// Slices of one subject, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// Under saturating load.
    pub(crate) saturated: Vec<Slice>,
    /// At the steady rate.
    pub(crate) steady: Vec<Slice>,
}

/// Gateway, nginx and the bare upstream side by side.
#[derive(Clone, Debug, Default)]
pub(crate) struct SideBySide {
    /// The upstream without anything between: steady only.
    pub(crate) direct: Track,
    /// The yardstick.
    pub(crate) nginx: Track,
    /// The gateway.
    pub(crate) gateway: Track,
}

/// The line that `--quick --json` ends with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// Processor time per message under saturating load, of the gateway over nginx.
    pub(crate) cpu_ratio_to_nginx: f64,
    /// Durable messages a second.
    pub(crate) messages_per_s: f64,
    /// At the steady rate, over the bare upstream.
    pub(crate) added_p50_us: f64,
    /// As above.
    pub(crate) added_p99_us: f64,
    /// Under saturating load.
    pub(crate) cpu_us_per_message: f64,
    /// Resident memory of `turnpike serve` before its first message.
    pub(crate) rss_mib: f64,
}

impl SideBySide {
    /// The gateway's line.
    pub(crate) fn line(&self, idle_mib: f64) -> Line {
        Line {
            cpu_ratio_to_nginx: rounded(self.cpu_ratio(), 100.0),
            messages_per_s: rounded(median(self.gateway.saturated.iter().map(|slice| slice.seen.per_second)), 1.0),
            added_p50_us: rounded(added(&self.gateway, &self.direct, |slice| slice.seen.p50_us), 1.0),
            added_p99_us: rounded(added(&self.gateway, &self.direct, |slice| slice.seen.p99_us), 1.0),
            cpu_us_per_message: rounded(median(self.gateway.saturated.iter().map(|slice| slice.cpu_us)), 10.0),
            rss_mib: rounded(idle_mib, 10.0),
        }
    }

    /// Processor time per message, gateway over nginx, inside a round; the median over rounds.
    pub(crate) fn cpu_ratio(&self) -> f64 {
        median(ratios(&self.gateway, &self.nginx))
    }

    /// The middle half of those ratios.
    pub(crate) fn cpu_ratio_spread(&self) -> (f64, f64) {
        quartiles(ratios(&self.gateway, &self.nginx))
    }

    /// 99th percentile at the steady rate, gateway over nginx, inside a round; the median.
    pub(crate) fn p99_ratio(&self) -> f64 {
        let pairs = self.gateway.steady.iter().zip(&self.nginx.steady);
        median(pairs.map(|(gateway, nginx)| gateway.seen.p99_us / nginx.seen.p99_us))
    }
}

/// Processor time per message under saturating load, `of` over `base`, round by round.
pub(crate) fn ratios(of: &Track, base: &Track) -> Vec<f64> {
    of.saturated.iter().zip(&base.saturated).map(|(of, base)| of.cpu_us / base.cpu_us).collect()
}

/// What `of` adds to `base` at the steady rate, inside a round; the median over rounds.
pub(crate) fn added(of: &Track, base: &Track, figure: impl Fn(&Slice) -> f64) -> f64 {
    median(of.steady.iter().zip(&base.steady).map(|(of, base)| figure(of) - figure(base)))
}

/// To the nearest part of one: 10 for one digit.
pub(crate) fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// A figure and what it should be.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// What is measured.
    pub(crate) what: &'static str,
    /// What was measured.
    pub(crate) is: f64,
    /// What it should be at most, or at least.
    pub(crate) bound: Bound,
    /// Its unit, with a space before it where it takes one.
    pub(crate) unit: &'static str,
}

/// Which way a goal looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// The smaller, the better.
    AtMost(f64),
    /// The larger, the better.
    AtLeast(f64),
}

impl Goal {
    /// Whether it was reached. What was not measured was not reached.
    pub(crate) fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.is <= bound,
            Bound::AtLeast(bound) => self.is >= bound,
        }
    }

    /// As a row of a table.
    pub(crate) fn row(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtMost(bound) => ("≤", bound),
            Bound::AtLeast(bound) => ("≥", bound),
        };
        let verdict = if self.is_reached() { "reached" } else { "**not reached**" };
        format!("| {} | {}{} | {sign} {}{} | {verdict} |", self.what, number(self.is), self.unit, number(bound), self.unit)
    }
}

/// Small numbers with two digits, large ones with none.
pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        "not measured".to_owned()
    } else if value.abs() < 10.0 {
        format!("{value:.2}")
    } else if value.abs() < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Report;

    fn slice(cpu_us: f64, p50_us: f64, p99_us: f64) -> Slice {
        Slice { seen: Report { p50_us, p99_us, per_second: 1e6 / cpu_us, ..Report::default() }, cpu_us, foreign: 0.0 }
    }

    fn track(slices: &[Slice]) -> Track {
        Track { saturated: slices.to_vec(), steady: slices.to_vec() }
    }

    #[test]
    fn ratios_are_taken_inside_a_round() {
        // A machine that is three times slower in the second round changes no ratio.
        let nginx = track(&[slice(30.0, 200.0, 300.0), slice(90.0, 600.0, 900.0), slice(30.0, 200.0, 300.0)]);
        let gateway = track(&[slice(60.0, 400.0, 600.0), slice(180.0, 1200.0, 1800.0), slice(60.0, 400.0, 600.0)]);
        let direct = track(&[slice(6.0, 100.0, 150.0), slice(18.0, 300.0, 450.0), slice(6.0, 100.0, 150.0)]);
        let both = SideBySide { direct, nginx, gateway };
        let line = both.line(12.34);
        assert!((line.cpu_ratio_to_nginx - 2.0).abs() < 1e-9);
        assert!((line.added_p50_us - 300.0).abs() < 1e-9);
        assert!((line.added_p99_us - 450.0).abs() < 1e-9);
        assert!((line.rss_mib - 12.3).abs() < 1e-9);
        assert!((both.p99_ratio() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_goal_says_plainly_whether_it_was_reached() {
        let goal = |is, bound| Goal { what: "x", is, bound, unit: " ms" };
        assert!(goal(1.0, Bound::AtMost(1.0)).is_reached());
        assert!(!goal(1.1, Bound::AtMost(1.0)).is_reached());
        assert!(goal(8_000.0, Bound::AtLeast(8_000.0)).is_reached());
        assert!(!goal(f64::NAN, Bound::AtMost(1.0)).is_reached());
        assert_eq!(goal(0.5, Bound::AtMost(1.0)).row(), "| x | 0.50 ms | ≤ 1.00 ms | reached |");
    }
}
