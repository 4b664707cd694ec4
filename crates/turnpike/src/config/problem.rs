//! What is wrong with a configuration, in sentences that say where and what to do.

use std::fmt;

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where: `turnpike.toml:12`, `TURNPIKE_LISTEN`, `--listen`; empty where it is nowhere.
    pub(crate) place: String,
    /// What is wrong and what to do, as a sentence.
    pub(crate) sentence: String,
    /// Whether it forbids a start.
    pub(crate) severity: Severity,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The gateway does not start with it.
    Refused,
    /// It starts, and says so.
    Warning,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.sentence),
            place => write!(f, "{place}: {}", self.sentence),
        }
    }
}

/// Every problem of one configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Notes what forbids a start.
    pub(crate) fn refused(&mut self, place: impl Into<String>, sentence: impl Into<String>) {
        self.0.push(Problem { place: place.into(), sentence: sentence.into(), severity: Severity::Refused });
    }

    /// Notes what is worth knowing.
    pub(crate) fn warning(&mut self, place: impl Into<String>, sentence: impl Into<String>) {
        self.0.push(Problem { place: place.into(), sentence: sentence.into(), severity: Severity::Warning });
    }

    /// Puts them in the order of their places: lines of a file as they follow each other.
    pub(crate) fn sort(&mut self) {
        self.0.sort_by_key(|problem| match problem.place.rsplit_once(':').map(|(file, line)| (file.to_owned(), line.parse::<usize>())) {
            Some((file, Ok(line))) => (file, line),
            _ => (problem.place.clone(), 0),
        });
    }

    /// Whether any of them forbids a start.
    pub(crate) fn refuse(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Refused)
    }

    /// Those that do not.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.0.iter().filter(|problem| problem.severity == Severity::Warning).map(ToString::to_string).collect()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused: Vec<&Problem> = self.0.iter().filter(|problem| problem.severity == Severity::Refused).collect();
        match refused.as_slice() {
            [only] => write!(f, "the configuration cannot be used: {only}"),
            many => {
                write!(f, "the configuration cannot be used:")?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}
