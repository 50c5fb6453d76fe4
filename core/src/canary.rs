//! Planted bugs, for testing the tests: each is a mistake that this code could easily have, and the
//! suite named beside it must fail when it is there.
//!
//! Without the feature `canary`, which only `cargo xtask test` turns on, `planted` is a constant
//! and nothing of this is left in the program. With it, the environment variable `TAILSWAP_CANARY`
//! names the one bug to plant, by its variant; without the variable there is none.

/// Defines the bugs, and beside each the test binary and the test in it that is to catch it.
macro_rules! canaries {
    ($($(#[doc = $doc:literal])+ $name:ident caught by $suite:literal $test:literal;)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Canary {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Canary {
            /// All of them, each with the test binary and the test that is to catch it.
            pub const ALL: &[(Canary, &str, &str)] = &[$((Canary::$name, $suite, $test),)+];
        }
    };
}

canaries! {
    // Commits.
    /// Turns the header's type byte before what it points at is synced.
    NoSyncBeforeFlip caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Writes the header as a header at once, before the first sync.
    FlipFirst caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Acknowledges a flush before the last sync.
    AcknowledgeBeforeLastSync caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Takes a failed sync for a failed write: the store is not poisoned.
    NoPoison caught by "failures"
        "after_a_failed_sync_the_file_is_cut_and_synced_before_anything_else";
    /// Goes on with the working state of a flush that failed.
    ReuseAfterFailedCommit caught by "failures"
        "a_failed_flush_keeps_every_mutation_and_succeeds_when_tried_again";
    /// Does not sync the cut that takes back a failed flush.
    CutNotSynced caught by "failures"
        "after_a_failed_sync_the_file_is_cut_and_synced_before_anything_else";
    /// Cuts to the same length again when a cut is repeated, which leaves the sync nothing to do.
    CutTwiceAlike caught by "failures"
        "after_a_failed_sync_the_file_is_cut_and_synced_before_anything_else";
    /// Opens a file for writing without making durable what it found.
    OpenWithoutSync caught by "regressions"
        "opening::a_header_that_was_not_synced_is_not_taken_back";
    /// Opens a file for writing without making its name durable.
    OpenWithoutDirectorySync caught by "regressions"
        "opening::a_file_whose_name_was_not_durable_is_not_lost";
    /// Opens a file for writing without looking whether all of its newest commit is there.
    OpenWithoutVerifying caught by "crash_exhaustive"
        "so_it_does_where_commits_take_one_sync";
    /// Opens a file for writing without writing again what a failed sync may have lost of its newest
    /// commit.
    OpenWithoutWritingAgain caught by "regressions"
        "one_sync::a_commit_whose_sync_failed_is_not_taken_back";
    /// Appends behind a header that was taken back before that is synced.
    TakenBackNotSynced caught by "regressions"
        "one_sync::a_header_that_was_taken_back_never_stands_between_others";
    /// Writes over what a failed flush wrote before the cut that takes it back is synced.
    CutForOneSyncNotSynced caught by "regressions"
        "one_sync::what_a_failed_write_left_never_passes_for_what_follows";
    /// Creates a file under its name at once, without a temporary one.
    CreateInPlace caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Lets the first of several changes to one id win.
    FirstOfEachWins caught by "store_model"
        "files_in_memory_hold_what_was_saved";

    // The swap.
    /// Never syncs a directory.
    NoDirectorySync caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Puts the new file in charge before the directory is synced.
    AcknowledgeBeforeDirectorySync caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Removes the old file before the new one is in charge.
    UnlinkBeforePublish caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Leaves the old file where it is.
    KeepOldFile caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Commits the target without a sync.
    TargetNotSynced caught by "crash_schedules"
        "a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there";
    /// Does not read back what is about to take charge.
    NoValidation caught by "late_damage"
        "a_target_that_does_not_read_back_never_takes_charge";
    /// Takes the lock and swaps without looking for a last tail.
    NoLastTail caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Takes equal sequence numbers, not equal positions, for "caught up".
    CaughtUpBySeq caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Goes on writing although nobody knows which file is in charge.
    UncertainSwapGoesOn caught by "lifecycle"
        "dropped_at_any_step_it_leaves_one_file_or_a_vbucket_to_be_opened_again";
    /// Does not look at the cancel flag once it has the lock.
    IgnoreCancelUnderLock caught by "lifecycle"
        "cancelled_at_any_step_it_leaves_one_file_and_nothing_else";
    /// A rollback does not cancel a running compaction.
    RollbackKeepsCompaction caught by "lifecycle"
        "rolled_back_at_any_step_nothing_newer_survives";
    /// Leaves the unfinished target behind.
    KeepUnfinished caught by "lifecycle"
        "cancelled_at_any_step_it_leaves_one_file_and_nothing_else";
    /// Catches up without a limit on rounds.
    RoundsWithoutLimit caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Leaves the flusher slowed down when the compaction ends.
    KeepPace caught by "lifecycle"
        "cancelled_at_any_step_it_leaves_one_file_and_nothing_else";

    // Catch-up and copy.
    /// Takes purge_seq from the source, forgetting what the copy purged.
    PurgeSeqFromSource caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Does not count what the copy purged.
    PurgeSeqNotRaised caught by "phases"
        "a_tombstone_purged_twice_over_stays_away_and_purge_seq_never_goes_down";
    /// Keeps the vbucket's state as the copy had it.
    VbstateOfTheCopy caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Skips local documents that were deleted.
    SkipLocalDelete caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Replays tombstones as documents.
    TombstoneToLive caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Replays documents without their clients' flags.
    ReplayForgetsFlags caught by "interleave"
        "in_every_order_nothing_is_lost_and_readers_see_what_was_acknowledged";
    /// Takes the newest state for the one that a round has replayed.
    RoundSkipsMeanwhile caught by "phases"
        "compaction_beside_the_flusher_keeps_everything_in_every_interleaving";
    /// Purges the tombstone with the highest sequence number too.
    PurgeHighest caught by "phases"
        "a_tombstone_purged_twice_over_stays_away_and_purge_seq_never_goes_down";
    /// Skips an entry of by-id that by-seq lacks, instead of calling it damage.
    SkipMissing caught by "copying"
        "trees_that_do_not_name_the_same_documents_are_damage";

    // The vbucket.
    /// Takes an unfinished target for a finished one when opening.
    AdoptUnfinished caught by "lifecycle"
        "opening_removes_only_what_this_crate_or_the_reference_leaves";
    /// Sweeps older revisions before the newest is known to be sound.
    SweepBeforeValidating caught by "copying"
        "a_file_that_is_no_vbuckets_is_refused_and_nothing_is_swept";
    /// Goes back past damage without being told to.
    PassOverDamage caught by "golden_corrupt"
        "opening_refuses_and_lands_where_the_reference_does";
    /// Removes the newest file of a vbucket under its own name.
    DeleteInPlace caught by "regressions"
        "deletion::no_empty_file_is_left_under_its_name";
    /// Goes on under the same identity after a rollback.
    RollbackKeepsIdentity caught by "lifecycle"
        "rolled_back_at_any_step_nothing_newer_survives";
    /// Writes a batch that a rollback gave up while it waited for the lock.
    FlushGivenUp caught by "lifecycle"
        "rolled_back_at_any_step_nothing_newer_survives";
    /// Drops what a failed flush was to write.
    DropFailedBatch caught by "failures"
        "a_failed_flush_keeps_every_mutation_and_succeeds_when_tried_again";
    /// Wakes nobody when the lock is given back.
    LostWakeUp caught by "vbucket_lock"
        "handing_over_wakes_exactly_the_next";
}

/// Whether this bug is planted.
#[cfg(not(feature = "canary"))]
pub(crate) const fn planted(_: Canary) -> bool {
    false
}

/// Whether this bug is planted.
#[cfg(feature = "canary")]
pub(crate) fn planted(canary: Canary) -> bool {
    static PLANTED: std::sync::OnceLock<Option<Canary>> = std::sync::OnceLock::new();
    let chosen = || {
        let name = std::env::var("TAILSWAP_CANARY").ok()?;
        let named = |(canary, ..): &&(Canary, &str, &str)| format!("{canary:?}") == name;
        Canary::ALL.iter().find(named).map(|(canary, ..)| *canary)
    };
    *PLANTED.get_or_init(chosen) == Some(canary)
}
