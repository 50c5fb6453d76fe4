//! The scenarios of the core. A browser has no files, so they are part of the test.

macro_rules! scenarios {
    ($($name:literal,)*) => {
        /// Each by its name, with its text.
        pub(crate) const SCENARIOS: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../../core/scenarios/", $name, ".scenario")),
        )),*];
    };
}

scenarios! {
    "cancelled-compaction-leaves-nothing",
    "catch-up-replays-the-tail",
    "compact-purges-tombstones",
    "crash-after-the-rename",
    "crash-before-header",
    "crash-before-the-directory-sync",
    "crash-between-syncs",
    "crash-in-a-creation",
    "crash-in-the-copy",
    "crash-that-tears-a-write",
    "created-anew-shows-nothing-old",
    "delete-then-write-again",
    "deleted-while-compacting",
    "directory-sync-fails-in-the-swap",
    "disk-full-in-a-compaction",
    "empty-and-block-sized-values",
    "failed-sync-poisons",
    "first-flush",
    "flipped-bit-in-a-body",
    "flipped-bit-in-the-newest-header",
    "last-tail-under-the-lock",
    "local-document-deleted-while-compacting",
    "one-batch-two-changes",
    "one-sync-cut-short-is-taken-back",
    "process-dies-in-the-swap",
    "purge-seq-never-goes-down",
    "reader-outlives-the-swap",
    "rollback-behind-a-compaction",
    "rollback-cancels-the-compaction",
    "second-compaction-is-refused",
    "swap-fails-while-a-flush-is-in-doubt",
    "unacknowledged-may-survive",
    "write-fails-part-way",
}
