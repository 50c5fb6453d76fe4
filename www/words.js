// The page's text: what a moment means, in words that need no knowledge of the file format.

const STORIES = {
  before: ["Writers only: the file grows", "Each flush appends changed documents, the tree nodes that lead to them, and a header (H) that points at the new trees. Nothing is overwritten: what it replaces stays behind, dead (b, n). The newest header is the state."],
  begun: ["Compaction begins at the newest header", "Whatever that header reaches is what the copy will hold. Writers go on behind it."],
  copy_documents: ["Copying what was live, without the lock", "The live documents go into a new file, without the dead ones. Writers never wait for this, so the source grows a tail (red) that the copy does not have."],
  copy_ids: ["Building the copy's second tree, without the lock", "The same documents, by their ids. Meanwhile the tail grows."],
  copy_local: ["Copying the vbucket's own notes", "A few local documents, such as its state. Still without the lock."],
  commit_copy: ["The copy is made durable", "It now equals the source as it was when compaction began. But the source has moved on: look at the tail."],
  catch_up: ["Catch-up: copying the tail, without the lock", "What writers added meanwhile is copied too. They add more in that time, but less, because a short tail is copied soon: it shrinks as long as less is added than was copied. If it does not shrink fast enough, the flusher is slowed down from the third round on: then writers find the queue full now and then (short red marks), which is what this costs them."],
  wait_for_lock: ["The tail is short: asking for the lock", "As long as the flusher can commit, the copy is always a little behind. Only the lock stops that, so it is asked for late, when little is left."],
  last_tail: ["LOCKED: the last short tail", "The flusher has to wait from here on. What it waits for is only this tail, two syncs and a rename, however large the file is. Mutations queue up, as far as the queue goes."],
  validate: ["LOCKED: the copy is read back", "It is complete and durable. Its header and the roots of its trees are read once more before anything depends on them."],
  swap: ["LOCKED: the swap", "The copy is renamed to the next revision, and the directory is synced: from then on a crash finds the new file. Then readers and writers are told, and the lock is given back."],
  unlink: ["The new file is in charge; the old one goes", "Writers have gone on already. The old file's name is removed, which is slow for a large file and so never done under the lock. A reader that still holds it reads on, undisturbed."],
  taken_over: ["The process died; another opened the vbucket", "What it had written is there, synced or not, and is made durable before anything depends on it. An unfinished copy is swept away. Queued mutations that no flush had acknowledged are gone, as their writers know."],
  recovered: ["Power was lost; the vbucket opened again", "Only what was synced is sure to be there. The newest file with a sound header is in charge, and is exactly the state of one flush: not before the last one that was acknowledged. An unfinished copy is swept away. Queued mutations that no flush had acknowledged are gone, as their writers know."],
  closed: ["The vbucket does not open: its file is damaged", "The engine names the place, and never goes back to an older state on its own: that would lose what was acknowledged as if it had never been. What is sound can still be looked at, and taken out by a recovery."],
  failed: ["Something failed, and nothing is lost", "What failed to be written or synced is cut off again, and its mutations stay queued to be tried again. A compaction that fails leaves the old file in charge, and begins anew later."],
  dropped: ["The vbucket was dropped", "Its files are gone, and what was queued for it is given up."],
  after: ["Compacted: the small new file is in charge", "Nearly all dead bytes are gone (what catch-up replaced is dead in the new file), and the flusher waited for no longer than the last tail, two syncs and a rename took. The new file grows in its turn."],
};

const SWAP = {
  lock: "lock taken", replayed: "last tail copied", synced: "copy synced", validated: "read back",
  renamed: "renamed", directory: "directory synced", published: "published", released: "lock released",
  unlinked: "old name removed",
};

export const CLASSES = ["header", "live body", "dead body", "by-seq tree", "by-id tree", "local tree", "dead node", "slack", "unknown"];

const ROLES = {
  in_charge: "in charge: readers and writers use it", target: "the copy, not in use yet",
  replaced: "replaced", held_by_reader: "unlinked, but a reader holds it", gone: "gone",
};

// Empty: a mark of its own would only crowd the others.
const MARKS = {
  start: "start", copy: "", ids: "by-id", local: "", commit: "commit copy", "catch-up": "",
  wait: "ask for lock", "last-tail": "last tail", validate: "read back", swap: "swap",
  published: "published", unlink: "", unlinked: "unlinked", end: "end",
  opened: "restart",
};

export function story(moment) {
  if (moment.isCompacting) {
    const [title, why] = STORIES[moment.phase ?? "begun"];
    const round = moment.phase === "catch_up" && moment.round ? `, round ${moment.round}` : "";
    return [title + round, why];
  }
  if (moment.recovery?.error) return [STORIES.closed[0], `${STORIES.closed[1]} (${moment.failure})`];
  if (moment.files.length && moment.files.every((file) => file.role === "gone")) return STORIES.dropped;
  if (moment.failure) return [STORIES.failed[0], `${STORIES.failed[1]} (${moment.failure})`];
  if (moment.recoveredNs) return moment.isPowerLoss ? STORIES.recovered : STORIES.taken_over;
  return STORIES[moment.swap.some((swap) => swap.step === "published" && swap.atNs) ? "after" : "before"];
}

export function markName(name) {
  return MARKS[name] ?? name;
}

export function swapStep(step) {
  return SWAP[step];
}

export function milliseconds(ns, digits = 2) {
  return `${(ns / 1e6).toFixed(digits)} ms`;
}

export function bytes(count, digits = 2) {
  return count >= 1048576 ? `${(count / 1048576).toFixed(digits)} MiB` : `${(count / 1024).toFixed(0)} KiB`;
}

// The caption of a ribbon, as pieces: the name, then what is known of the file.
export function fileCaption(file, first) {
  if (!file) {
    return [first ? "no file yet" : "new file", first ? "" : "there is none before compaction begins"];
  }
  const part = file.unusedPercent === null ? "" : `, ${file.unusedPercent} % not in use`;
  const unsynced = file.unsynced ? `, ${bytes(file.unsynced)} not synced` : "";
  return [file.name, `${ROLES[file.role]} · ${bytes(file.length)}${part}${unsynced}`];
}

export function lockWords(moment) {
  const holder = moment.holder ? `held by ${moment.holder}` : "free";
  const waiting = moment.waiting.length ? `, ${moment.waiting.join(" and ")} waits ${milliseconds(moment.waitsNs, 1)}` : "";
  return holder + waiting;
}

// An event as one line.
export function eventLine(event) {
  const at = (position) => `block ${Math.floor(position / 4096)}`;
  const kinds = { by_seq_node: "by-seq node", by_id_node: "by-id node", local_node: "local node", header: "header", slack: "slack" };
  const content = (what) => kinds[what] ?? `document ${what.body?.seq ?? ""}`;
  const words = {
    appended: () => `${content(event.content)} → ${event.file}, ${at(event.position)}`,
    written: () => `${event.file}: written to ${at(event.end)}`,
    sync_issued: () => `${event.file}: sync begins`,
    sync_completed: () => `${event.file}: synced`,
    header_committed: () => `${event.file}: header at ${at(event.position)} committed`,
    lock_asked: () => `${event.actor} asks for the lock`,
    lock_taken: () => `${event.actor} takes the lock`,
    lock_released: () => `${event.actor} gives the lock back`,
    flush_started: () => `flush of ${event.mutations} mutations begins`,
    flush_finished: () => `flush durable up to ${event.seq}`,
    paced: () => `flusher slowed down by ${milliseconds(event.nanoseconds)}`,
    phase_changed: () => `phase: ${event.phase.replaceAll("_", " ")}`,
    document_copied: () => `document ${event.seq} copied`,
    round_started: () => `round ${event.round}: ${bytes(event.tail)} of tail`,
    round_finished: () => `round ${event.round}: ${event.documents} documents`,
    renamed: () => `${event.from} renamed to ${event.to}`,
    removed: () => `${event.file}: name removed`,
    v_bucket_created: () => "vbucket created", v_bucket_opened: () => `vbucket opened: revision ${event.revision}`,
    v_bucket_deleted: () => "vbucket deleted", opening_failed: () => `vbucket not opened: ${event.error}`,
    commit_taken_back: () => `a commit that was cut short is taken back: ${event.error}`,
    published: () => `revision ${event.revision} published`,
  };
  const line = words[event.event]?.() ?? event.event.replaceAll("_", " ");
  return `${milliseconds(event.at_ns)}  ${line}`;
}

// What a header of a file from elsewhere stands for, and what is wrong with the file.
export function headerStory(isReadable, isLast, problem) {
  const wrong = problem ? ` At byte ${problem.offset}: ${problem.what}.` : "";
  if (!isReadable) return ["Its trees cannot be read", `So what is live cannot be told. The map shows what lies where, as far as chunks say so themselves.${wrong}`];
  if (!isLast) return ["An older header", "Nothing is overwritten, so every header still stands for the whole state of its time."];
  const why = "What its trees reach is live; all else is dead and waits for a compaction.";
  return problem ? ["The newest header that can be read", `${why} Something is wrong.${wrong}`] : ["The newest header", why];
}

// What a crash left, and of what was going on then: `at` is where the vbucket was opened again.
function afterCrash({ event }, timeOf, momentAt) {
  const now = momentAt(event);
  let before = event;
  while (before > 0 && momentAt(before).recoveredNs === now.recoveredNs) before -= 1;
  const was = momentAt(before);
  const nameOf = ({ files }) => files.find((each) => each.role === "in_charge")?.name;
  const [name, nameBefore] = [nameOf(now), nameOf(was)];
  const what = `${now.isPowerLoss ? "power was lost" : "the process died"} at ${milliseconds(timeOf(event), 1)}`;
  if (!was.isCompacting) return `${what}; ${name} opened, as before`;
  if (was.swap.some((swap) => swap.step === "published" && swap.atNs)) return `${what}, after the swap; ${name} opened: it was in charge already, and what was left of the old file was swept away`;
  if (name === nameBefore) return `${what}, during the compaction; ${name} opened, which was in charge before, and the copy, which was not yet, was swept away`;
  return `${what}, in the swap; ${name} opened: the copy was whole and had its name, so it is in charge now`;
}

// Why there was no swap.
function withoutSwap(isBegun, hasCrashed, cutShort) {
  if (cutShort) return `it ends after ${cutShort} actions, as many as this page runs, ${isBegun ? "before the swap" : "before a compaction begins"}: nothing failed, only everything takes longer here`;
  if (hasCrashed) return "no compaction was finished after that";
  return isBegun ? "the compaction did not come to its swap" : "nothing was compacted";
}

// What a run came to, in a line.
export function outcome(marks, timeOf, momentAt, cutShort) {
  const last = (name, before = Infinity) => marks.findLast((mark) => mark.name === name && mark.event < before)?.event;
  const opened = marks.filter((mark) => mark.name === "opened");
  const told = opened.map((mark) => afterCrash(mark, timeOf, momentAt));
  for (const mark of marks.filter((each) => each.name === "not opened")) told.push(`not opened: ${momentAt(mark.event).failure}`);
  const damage = marks.map((mark) => mark.name.endsWith("failed") && momentAt(mark.event).failure).find((why) => why && why.includes("damaged"));
  if (damage) told.push(damage);
  const failures = marks.filter((mark) => mark.name.endsWith("failed")).length;
  if (failures) told.push(failures === 1 ? "one failure" : `${failures} failures`);
  // In a long trace another compaction may have begun since.
  const to = last("published");
  const from = last("start", to);
  if (from === undefined || to === undefined) {
    const isBegun = last("start") !== undefined;
    return [...told, withoutSwap(isBegun, opened.length > 0, cutShort)].join(" · ");
  }
  const whole = momentAt(marks.find((mark) => mark.name === "end" && mark.event > to)?.event ?? to);
  const rounds = whole.rounds.filter((round) => !round.locked).length;
  const tail = whole.rounds.find((round) => round.locked);
  const isAfter = opened.length > 0 && to > opened.at(-1).event;
  return [
    ...told,
    `${isAfter ? "the compaction after that: " : ""}${rounds} ${rounds === 1 ? "round" : "rounds"} without the lock`,
    `last tail ${bytes(tail?.tail ?? 0)}`,
    `lock held for ${milliseconds(whole.lockHeldNs, 1)}`,
    `compaction took ${milliseconds(timeOf(to) - timeOf(from), 1)}`,
  ].join(" · ");
}

// What is said of a text that is nothing that the page opens.
export function notOurs(name) {
  return `${name} is text, and none that this page knows: a scenario begins with “create” or “world”, a trace is what “tailswap run --trace” wrote, and a .couch file is no text. Choose one of these; if you have none, open the sample file.`;
}

// What is said of a trace when it is opened.
export function traceWords([vbucket, ...others], problem) {
  return [
    others.length ? `Of ${others.length + 1} vbuckets this is vbucket ${vbucket}; the others can be chosen below.` : "",
    "What of the files is still in use is not in a trace, nor who reads them.",
    problem ? `It is shown up to where it can be read: ${problem}.` : "",
  ].join(" ").trim();
}
