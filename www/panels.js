// Panels beside the stage: the last events, what recovery looked at, and what must hold.

import { setText } from "./branch.js";
import { eventLine } from "./words.js";

const LOG_LINES = 5;

// As many children as there are values, each told its own.
export function fill(parent, values, tag, tell) {
  while (parent.children.length > values.length) parent.lastChild.remove();
  while (parent.children.length < values.length) parent.append(document.createElement(tag));
  values.forEach((value, index) => tell(parent.children[index], value));
}

function button(item) {
  if (!item.firstElementChild) item.append(Object.assign(document.createElement("button"), { type: "button" }));
  return item.firstElementChild;
}

export function showLog(list, sim, now) {
  const lines = Array.from({ length: LOG_LINES }, (_, line) => now - LOG_LINES + 1 + line);
  fill(list, lines.filter((event) => event >= 0 && event < sim.eventCount), "li", (item, event) => {
    const line = button(item);
    line.dataset.event = event;
    setText(line, eventLine(JSON.parse(sim.event(event))));
  });
}

// The file and the byte of what an event wrote, if it wrote something.
function writtenBy(event, moment) {
  const name = event.file ?? event.to;
  const place = moment.files.find((file) => file.name === name)?.index;
  const copied = event.event === "document_copied" ? [moment.places[1] ?? undefined, event.to] : [];
  const end = event.end === undefined ? undefined : event.end - 1;
  const [file, byte] = copied.length ? copied : [place, event.position ?? end];
  return file === undefined || byte === undefined || byte === null || !(byte > 0 || event.event === "appended") ? undefined : { file, byte };
}

// An event that is clicked is gone to, and what it wrote is opened; so is a block that recovery looked at.
export function onChoice(log, recovery, { now, go, open }) {
  const momentOf = ({ lead, event, nowNs }) => lead.sim.moment(event, nowNs);
  log.addEventListener("click", ({ target }) => {
    const event = Number(target.dataset.event);
    if (Number.isNaN(event)) return;
    go(event);
    const moment = momentOf(now());
    const written = writtenBy(JSON.parse(now().lead.sim.event(event)), moment);
    if (written) open(moment, written.file, written.byte);
  });
  recovery.addEventListener("click", ({ target }) => {
    if (!target.dataset.byte) return;
    const moment = momentOf(now());
    open(moment, moment.places[0], Number(target.dataset.byte));
  });
}

const FOUND = {
  data: "no header", uncommitted: "a header that was never committed: its block is still marked as data",
  refused: "refused", taken: "a whole header: taken", passed: "a whole header, which only a recovery would take",
};

export function showRecovery(root, recovery) {
  root.hidden = !recovery;
  if (!recovery) return;
  const notes = recovery.swept.map((name) => `${name} swept away: never finished, or replaced`);
  if (recovery.error) notes.push(`Not opened: ${recovery.error}`);
  fill(root.querySelector("ol"), [...recovery.looked, ...notes], "li", (item, looked) => {
    const line = button(item);
    line.hidden = typeof looked === "string";
    if (line.hidden) return setText(item.childNodes[1] ?? item.appendChild(new Text()), looked);
    item.className = looked.found;
    line.dataset.byte = looked.from;
    const [first, last] = [looked.from / 4096, looked.to / 4096 - 1];
    setText(line, first === last ? `block ${first}` : `blocks ${last} to ${first}`);
    setText(item.childNodes[1] ?? item.appendChild(new Text()), ` ${FOUND[looked.found]}${looked.why ? ` (${looked.why})` : ""}`);
  });
}

// Each with how often it was checked so far, or with what broke it.
export function showInvariants(root, sim, event) {
  const violated = sim.violated();
  const isReached = violated && event >= sim.eventCount - 1;
  const counts = sim.checks(event);
  const actions = sim.actionsAt(event);
  setText(root.querySelector("summary"), isReached ? `VIOLATED at action ${violated[1]}` : `What must hold held after each of ${actions} actions`);
  if (isReached) root.open = true;
  [...root.querySelectorAll("li")].forEach((item, index) => {
    const isBroken = isReached && violated[0] === index;
    item.classList.toggle("violated", Boolean(isBroken));
    setText(item.querySelector("span") ?? item.appendChild(document.createElement("span")),
      isBroken ? `violated at action ${violated[1]}: ${violated[2]}` : `checked ${counts[index]} ${counts[index] === 1 ? "time" : "times"}`);
  });
}
