//! From a notification to a delivery.
