//! Every seam of the notifier in memory, for `simulate` and tests.
