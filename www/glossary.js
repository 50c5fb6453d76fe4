// What the words of this page stand for: each with what else is meant by it, in the order in which one needs them.

export const GLOSSARY = [
  ["vbucket", "", "One of the parts into which Couchbase divides a bucket's documents, 1024 in most. Each has a file of its own."],
  ["document", "documents", "A key with a value, often JSON. It has a body, and an entry in each of two trees."],
  ["mutation", "mutations", "A change of one document: it is set or deleted. It waits in a queue until it is flushed."],
  ["flusher", "flush|flushes|flushed", "Takes what waits in the queue and commits it to the file, all of it together: a flush."],
  ["block", "blocks", "4 KiB of a file: a small box in the pictures."],
  ["body", "bodies", "The value of a document as it lies in the file."],
  ["node", "nodes|tree|trees", "A piece of a B+tree that leads to documents: one tree is sorted by key (by-id), one by sequence number (by-seq). Nodes are never changed: a change writes new ones up to the root."],
  ["header", "headers", "A block that says where the trees begin. It stands for the whole state of the file at its time; the newest one is the state now."],
  ["live", "dead", "What the newest header reaches is live. The rest is dead: it takes room until a compaction leaves it behind."],
  ["sync", "syncs|synced", "Asks the disk to make sure of what it was handed. Before that a loss of power can take it, in any order."],
  ["commit", "commits|committed", "Bodies, nodes and a header written, a sync, one byte turned, another sync: from then on the new state is there whatever happens."],
  ["compaction", "compacted|compactor", "Copies what is live into a new file, which then takes the place of the old one."],
  ["tail", "tails", "What was committed to the old file since the state that the copy has: what the copy lacks."],
  ["catch-up", "round|rounds", "Copies the tail, and then what came meanwhile, round by round, while writers go on."],
  ["lock", "locked", "Of a vbucket: who holds it may change what its file is. A flush takes it, and so does the swap; never both."],
  ["swap", "swapped|swaps", "The copy gets the next revision's name (7.couch.1 becomes 7.couch.2) and is in charge from then on."],
  ["reader", "readers|snapshot|snapshots", "Holds on to one header of one file, and reads that state undisturbed until it lets go."],
  ["recovery", "recovered", "Opening after a crash: the file is looked at from its end until a whole header is found."],
  ["branch", "branches", "On this page: the same run up to a moment, and something else done from there on."],
];
