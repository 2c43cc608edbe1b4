//! Conformance suites, one per port. Each function of a suite tests one property of a fresh
//! adapter, so every adapter of a port passes the same tests:
//!
//! ```text
//! async fn open() -> (MyWatches, tempfile::TempDir) { .. }
//! pricedrop_testing::conform!(open, watches);
//! ```
//!
//! `open` returns the adapter, and whatever must be kept until the test ends.

pub mod cache;
pub mod commits;
pub mod dead_letters;
pub mod input;
pub mod leases;
pub mod log;
pub mod policies;
pub mod prices;
pub mod recipients;
pub mod retries;
pub mod retry_index;
pub mod watches;

/// Generates one test for each property of a suite.
#[macro_export]
macro_rules! conform {
    ($open:path, watches) => {
        $crate::promises!($open, watches: a_written_watch_is_visible_to_the_next_view,
            a_write_behind_a_view_is_updated_after_it, writing_a_watch_again_replaces_it,
            every_page_size_reads_the_same_rows_in_order, a_scan_ends_at_the_floor,
            deleting_says_whether_there_was_one, a_notified_row_is_removed_unless_it_was_written_again,
            a_list_goes_through_all_products_in_order, of_two_writes_in_one_put_the_later_stands);
    };
    ($open:path, exact_summaries) => {
        $crate::promises!($open, watches: a_summary_counts_what_there_is);
    };
    ($open:path, commits) => {
        $crate::promises!($open, commits: nothing_committed_restores_nothing,
            committed_offsets_and_states_come_back, only_unfinished_states_are_restored,
            a_forgotten_state_is_gone, every_currency_of_a_product_is_loaded);
    };
    ($open:path, input) => {
        $crate::promises!($open, input: records_come_once_in_the_order_of_the_log,
            restoring_hands_records_out_again, who_wants_no_record_gets_none);
    };
    ($open:path, prices) => {
        $crate::promises!($open, prices: the_last_price_is_shown_in_the_end,
            a_price_is_of_its_currency_until_it_is_forgotten);
    };
    ($open:path, log) => {
        $crate::promises!($open, log: every_notification_is_read_once_in_order,
            a_reader_goes_on_from_its_commit, a_long_fan_out_keeps_its_order);
    };
    ($open:path, cache) => {
        $crate::promises!($open, cache: a_filled_entry_is_found, one_reader_fills_an_entry,
            an_entry_being_written_is_not_filled, a_fill_that_began_before_a_write_is_refused,
            the_mark_of_another_writer_remains, entries_do_not_share_content,
            many_keys_are_answered_in_order, entries_of_megabytes_are_found);
    };
    ($open:path, leases) => {
        $crate::promises!($open, leases: only_one_claim_of_many_is_yours,
            a_lease_that_ended_can_be_claimed, a_confirmation_outlives_its_lease,
            a_released_lease_can_be_claimed_at_once);
    };
    ($open:path, retries) => {
        $crate::promises!($open, retries: the_longest_due_comes_first_and_only_when_due,
            a_taken_entry_stays_until_removed, putting_again_moves_an_entry);
    };
    ($open:path, retry_index) => {
        $crate::promises!($open, retry_index: the_longest_due_comes_first_over_all_partitions,
            a_taken_retry_stays_until_it_is_removed, putting_a_retry_again_replaces_it,
            a_partition_never_built_is_lost_and_the_others_are_served,
            a_partition_is_its_owners_once_it_is_seeded,
            a_new_owner_takes_the_partition_from_the_one_before,
            clearing_empties_one_partition_for_its_owner_too,
            thousands_of_retries_are_restored_and_taken_in_order);
    };
    ($open:path, recipients) => {
        $crate::promises!($open, recipients: addresses_come_back_by_user_in_order,
            an_address_is_replaced_and_deleted);
    };
    ($open:path, dead_letters) => {
        $crate::promises!($open, dead_letters: ids_ascend_in_the_order_of_adding,
            an_id_names_one_dead_letter, a_page_begins_after_any_id,
            the_id_of_a_removed_letter_is_not_used_again);
    };
    ($open:path, policies) => {
        $crate::promises!($open, policies: the_first_policy_becomes_active,
            a_policy_that_cuts_alike_takes_over, a_policy_that_cuts_otherwise_is_refused);
    };
}

/// Generates one test for each of these functions of a suite.
#[macro_export]
macro_rules! promises {
    ($open:path, $suite:ident: $($promise:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let (adapter, _keep) = $open().await;
                $crate::conformance::$suite::$promise(adapter).await;
            }
        )+
    };
}
