// What a link says beyond the run itself: its branches, which of them is followed, and the moment.

import { differenceName } from "./runs.js";
import { milliseconds } from "./words.js";

// Makes the branches of a link and goes to its moment. What of it cannot be is left out; why, in words.
export async function reopen(told, page) {
  const { state, branches, fork, showRuns, go } = page;
  // By the numbers that the link gives them.
  const known = [...branches];
  const wrong = [];
  for (const each of told.forks) {
    try {
      known.push(await (each.steps ? restored(each, known[each.parent], page) : fork(each.difference)));
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      known.push(undefined);
      wrong.push(error.message);
    }
  }
  for (const index of told.hidden) {
    if (known[index]) known[index].isShown = false;
    else wrong.push(`it hides run ${index}, which there is not`);
  }
  const followed = known[told.follow];
  if (!followed) wrong.push(`it follows run ${told.follow}, which there is not`);
  state.lead = followed ?? state.lead;
  state.lead.isShown = true;
  if (told.forks.length || told.hidden.length) showRuns();
  if (!followed) {
    go(state.lead.sim.find("start") ?? 0);
  } else if (told.follow) {
    go(momentIn(state.lead, told), told.ns);
  }
  return wrong;
}

// A branch that the link has.
async function restored({ parent, steps }, from, { add, grown }) {
  if (!from) throw new Error(`a branch leaves run ${parent}, which there is not`);
  const { after, difference } = steps.at(-1);
  const branch = from.forkAfter(steps, differenceName(difference));
  await grown(branch);
  const { leftAt } = branch.sim;
  if (leftAt === undefined) {
    branch.remove();
    throw new Error(`a branch leaves a run after ${after} actions, and that has fewer`);
  }
  branch.name = `from ${milliseconds(branch.sim.timeOf(leftAt), 1)}: ${differenceName(difference)}`;
  add(branch);
  return branch;
}

// The event with which a link begins, if there is one.
export function momentOf(lead, { event, at, scenario }) {
  if (event !== null) return Number(event) >= 0 ? Number(event) : undefined;
  const name = at || "start";
  const mark = lead.marks.find((each) => each.name === name);
  // Not in every scenario anything is compacted.
  return mark?.event ?? (scenario && !at && lead.isComplete ? 0 : undefined);
}

export function momentIn(lead, told) {
  const event = momentOf(lead, told);
  if (!(event <= lead.end)) throw new Error(`This run has no moment “${told.event ?? told.at}”.`);
  return event;
}

// What does not go as whoever made the link saw it, in words.
export function doubts(told, lead, wrong) {
  const said = [];
  if (wrong.length) said.push(`This link does not hold together: ${wrong.join("; ")}. The rest of it is shown.`);
  const hash = lead.sim.traceHash().slice(0, 6);
  if (told.isNewer) {
    said.push("This link was made by a newer version of the page: not all that it says is understood here.");
  } else if (told.trace && told.trace !== hash && !wrong.length) {
    said.push("This link was made by another version of the engine, where the run went otherwise: what you see is not what was shared.");
  }
  return said.join(" ");
}
