//! Shares the process's limit on open files: half for connections of clients, a quarter for tables of
//! the store, and the rest for journals, servers and deliveries. So clients cannot take the descriptors that
//! the store needs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How the descriptors are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The limit on open files; none if there is no limit.
    limit: Option<u64>,
}

impl Shares {
    /// Raises the limit as far as the system allows.
    pub fn claim() -> Shares {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        Shares { limit: if raised.is_ok() { maximum } else { current } }
    }

    /// Returns how many connections of clients may be open, of the configured number.
    pub fn connections(self, configured: usize) -> usize {
        self.share(2).min(configured)
    }

    /// Returns how many tables of the store may be open, of the usual number.
    pub fn tables(self, usual: usize) -> usize {
        self.share(4).min(usual)
    }

    fn share(self, divisor: u64) -> usize {
        self.limit.map_or(usize::MAX, |limit| (limit / divisor).max(1) as usize)
    }

    /// Warns if there are fewer connections than configured.
    pub fn warn(self, configured: usize) {
        if let Some(limit) = self.limit.filter(|_| self.connections(configured) < configured) {
            tracing::warn!(
                limit,
                configured,
                accepted = self.connections(configured),
                "the limit on open files is too low for http.max_connections: at most half of it is used for \
                 connections; raise it (ulimit -n, LimitNOFILE of systemd)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_for_connections_and_a_quarter_for_tables() {
        let shares = |limit| Shares { limit };
        assert_eq!((shares(Some(256)).connections(1_024), shares(Some(256)).tables(900)), (128, 64));
        assert_eq!((shares(Some(65_536)).connections(1_024), shares(Some(65_536)).tables(900)), (1_024, 900));
        assert_eq!((shares(None).connections(1_024), shares(None).tables(900)), (1_024, 900));
    }
}
