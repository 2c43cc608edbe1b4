//! How a move to another bucketing policy goes, whichever store moves.

/// How far a move to another policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Indexes are built: products done, and of how many.
    Building {
        /// Done so far.
        products: usize,
        /// Of so many.
        of: usize,
        /// Watches indexed so far.
        watches: u64,
    },
    /// Indexes are compared with the plain rows.
    Verifying {
        /// Done so far.
        products: usize,
        /// Of so many.
        of: usize,
    },
    /// The new policy is active.
    CutOver,
    /// The old indexes are dropped.
    Done,
}
