//! How many files the process may have open: each connection is one.
//!
//! A shell and many supervisors hand out a soft limit of 1,024, which is there for programs that
//! count files in a bitmap and ends long before `limits.connections`. The hard limit is what the
//! machine's owner means, and a process may raise its own soft limit that far.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside the connections of callers: the store's, the listeners', and the connections to Meta
/// and to customers' endpoints.
const OTHERS: u64 = 1_024;

/// Raises the limit as far as it goes. Says what is wrong where that is not far enough for so many
/// connections of callers.
pub(crate) fn allow(connections: usize) -> Option<String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    too_few(allowed, connections)
}

/// `None` as a limit means that there is none.
fn too_few(allowed: Option<u64>, connections: usize) -> Option<String> {
    let wanted = OTHERS.saturating_add(connections as u64);
    allowed.filter(|allowed| *allowed < wanted).map(|allowed| {
        format!(
            "this process may open {allowed} files, too few for limits.connections = {connections}: callers beyond that wait; allow \
             {wanted} (ulimit -n {wanted}, LimitNOFILE={wanted} in a systemd unit) or lower limits.connections"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_ends_before_the_connections_is_told_with_what_to_do() {
        let said = too_few(Some(4_096), 10_000).unwrap_or_default();
        assert!(said.contains("may open 4096 files") && said.contains("LimitNOFILE=11024"), "{said}");
        assert_eq!(too_few(Some(11_024), 10_000), None);
        assert_eq!(too_few(None, 10_000), None);
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        assert_eq!(allow(0), too_few(getrlimit(Resource::Nofile).maximum, 0));
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
