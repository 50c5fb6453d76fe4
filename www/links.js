// What a link asks for, as far as that can be: a run, its branches, which of them is followed, and the moment.

import { USUAL } from "./address.js";
import { simOf } from "./branch.js";
import { differenceName } from "./runs.js";
import { milliseconds } from "./words.js";

const RUN = ["seed", "device", "rounds", "value", "actions"];
// Of these there is what the page offers.
const OFFERED = { compare: '[name="compare"] option', zoom: '[name="zoom"]' };

// Puts what is usual in the place of what a link asks of its run and there is not; `wrong` is told why.
export function mend(told) {
  for (const [name, selector] of Object.entries(OFFERED)) {
    const values = Array.from(document.querySelectorAll(selector), ({ value }) => value);
    if (values.includes(told[name])) continue;
    told.wrong.push(`its ${name} is “${told[name]}”, and not ${values.filter(Boolean).join(" or ")}`);
    told[name] = USUAL[name];
  }
  for (const name of [...RUN, "scenario"]) {
    try {
      simOf({ ...USUAL, [name]: told[name] }).free();
    } catch (error) {
      rethrowPanic(error);
      told.wrong.push(`its ${name}: ${error.message}`);
      told[name] = typeof told[name] === "number" ? Number(USUAL[name]) : USUAL[name];
    }
  }
}

// Makes the branches of a link and goes to its moment. What of it cannot be is left out, and `wrong` told why.
export async function reopen(told, page) {
  const { state, branches, fork, showRuns, go } = page;
  const { wrong } = told;
  // By the numbers that the link gives them.
  const known = [...branches];
  for (const each of told.forks) {
    try {
      known.push(await (each.steps ? restored(each, known[each.parent], page) : fork(each.difference)));
    } catch (error) {
      rethrowPanic(error);
      known.push(undefined);
      wrong.push(`its branch “${each.difference ?? each.steps.at(-1).difference}”: ${error.message}`);
    }
  }
  for (const index of told.hidden) {
    const hidden = known[Number(index)];
    if (hidden) hidden.isShown = false;
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
}

// The lesson of a link, if the run has what it shows.
export async function taught({ lesson, wrong }, { lessons }) {
  try {
    await lessons.begin(lesson);
  } catch (error) {
    rethrowPanic(error);
    lessons.close();
    wrong.push(`its lesson is of another run: ${error.message}`);
  }
}

// A branch that the link has.
async function restored({ parent, steps }, from, { add, grown }) {
  if (!from) throw new Error(`it leaves run ${parent}, which there is not`);
  const { after, difference } = steps.at(-1);
  const branch = from.forkAfter(steps, differenceName(difference));
  await grown(branch);
  const { leftAt } = branch.sim;
  if (leftAt === undefined) {
    branch.remove();
    throw new Error(`it leaves a run after ${after} actions, and that has fewer`);
  }
  branch.name = `from ${milliseconds(branch.sim.timeOf(leftAt), 1)}: ${differenceName(difference)}`;
  add(branch);
  return branch;
}

// The event with which a link begins, if there is one.
export function momentOf(lead, { event, at, scenario }) {
  if (event !== null) return /^\d+$/.test(event) ? Number(event) : undefined;
  const name = at || "start";
  const mark = lead.marks.find((each) => each.name === name);
  // Not in every scenario anything is compacted.
  return mark?.event ?? (scenario && !at && lead.isComplete ? 0 : undefined);
}

// The same, or what comes nearest in a run that does not have it; `wrong` is told then.
export function momentIn(lead, told) {
  const event = momentOf(lead, told);
  if (event <= lead.end) return event;
  told.wrong.push(event ? `it shows event ${event}, and the last one is ${lead.end}` : `this run has no moment “${told.event ?? (told.at || "start")}”`);
  return event ? lead.end : (lead.sim.find("start") ?? 0);
}

// What does not go as whoever made the link saw it, in words.
export function doubts({ wrong, isNewer, trace }, lead) {
  const said = [];
  if (wrong.length) said.push(`This link does not hold together: ${wrong.join("; ")}. The rest of it is shown.`);
  const hash = lead.sim.traceHash().slice(0, 6);
  if (isNewer) {
    said.push("This link was made by a newer version of the page: not all that it says is understood here.");
  } else if (trace && trace !== hash && !wrong.length) {
    said.push("This link was made by another version of the engine, where the run went otherwise: what you see is not what was shared.");
  }
  return said.join(" ");
}

// After a panic nothing of the engine may be called any more.
function rethrowPanic(error) {
  if (error instanceof WebAssembly.RuntimeError) throw error;
}
