// The page: which runs there are, which moment of them is shown, and what a person does with that.

import { Sim } from "./tailswap.js";
import { Acting } from "./acting.js";
import { readAddress, writeAddress } from "./address.js";
import { Branch, magnification, setText, showLegend } from "./branch.js";
import { Comfort } from "./comfort.js";
import { lastWords, loadEngine } from "./engine.js";
import { listSaves, onDrop } from "./files.js";
import { Inside } from "./inside.js";
import { Jumps } from "./jumps.js";
import { keep } from "./keep.js";
import { Lessons } from "./lessons.js";
import { doubts, mend, momentIn, momentOf, reopen, taught } from "./links.js";
import { showWords, welcome } from "./newcomers.js";
import { Opening } from "./opening.js";
import { Own } from "./own.js";
import { onChoice } from "./panels.js";
import { compared, differenceName, listRuns, title } from "./runs.js";
import { Share } from "./share.js";
import { tell } from "./telling.js";
import { CLASSES, milliseconds } from "./words.js";

const find = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const darkness = matchMedia("(prefers-color-scheme: dark)");
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
// With reduced motion playing goes on by leaps, in seconds.
const LEAP = 0.5;
// The part of lanes and charts that what was done should have before it.
const AHEAD = 0.1;
// Pixels of a stage's captions and outcome, on a projector, and of its heading.
const [WORDS, FEWER_WORDS, HEADING] = [94, 74, 46];

const branches = [];
const inside = new Inside(find("inside"), {
  go: (branch, event) => {
    if (branch === own) return own.go(event);
    if (branch !== state.lead) follow(branch);
    go(event);
  },
  redraw: () => (own.isOpen ? own.draw() : redraw()),
  flip: (branch, event, place) => {
    if (branch !== state.lead) follow(branch);
    go(event);
    act(`act flip ${place}`);
  },
});
const acting = new Acting({
  act: (...deed) => act(...deed),
  losable: () => state.lead.sim.losable(state.event),
  pick: () => {
    if (!inside.isOpen) lookInside();
    inside.focusFlip();
  },
});
const own = new Own(find("own"), find("own-facts"), inside, {
  said: (words) => {
    setText(find("said"), words);
    find("files").open = words !== "";
  },
  opened,
  opens: (address) => opening.say(address),
  closed: () => {
    opening.closed();
    showRuns();
  },
  run: () => opening.runOn().catch(fail),
});
const lessons = new Lessons(find("lesson"), {
  show: showLesson,
  close: closeLesson,
  measure: (name) => branches[0].sim.measure(name),
  open: (parameters) => location.assign(`?${new URLSearchParams(parameters)}`),
});
const jumps = new Jumps((event) => go(event));
const comfort = new Comfort(() => branches.length > 0 && showRuns());
// Time is that of `lead`, the run that is followed.
const state = { lead: undefined, event: 0, nowNs: 0, stageHeight: 0, playing: false, lastFrame: 0, isDirty: false, idle: 0, isAwaited: true };
const page = { state, branches, own, acting, inside, lessons, jumps, opened, add, fork, grown, grow, go, legend, notice, showRuns, begun: () => begun };
const opening = new Opening(page);

function fail(error) {
  state.playing = false;
  document.body.dataset.state = "trouble";
  find("trouble").hidden = false;
  find("trouble").querySelector("pre").textContent = lastWords() ?? error?.message ?? String(error);
}

async function begin() {
  const own = await readAddress(location, Lessons.run);
  state.told = own;
  const { memory } = await loadEngine();
  mend(own);
  const others = compared(own);
  for (const name of ["seed", "device", "rounds", "compare"]) {
    document.querySelector(`[name="${name}"]`).value = own[name];
  }
  find("run-summary").textContent = own.scenario ? "Run: a scenario" : `Run: seed ${own.seed}, ${own.device}`;
  for (const each of [own, ...others]) add(Branch.of(each, title(each, others.length > 0)));
  const [lead] = branches;
  state.lead = lead;
  legend();
  showSpeed();
  document.querySelector(`input[name="zoom"][value="${own.zoom}"]`).checked = true;
  showRuns();
  // From here on the page can be used: what there is of the run is shown while the rest is made.
  document.body.dataset.state = "ready";
  performance.mark("ready");
  listen();
  for (const branch of branches) await branch.record(() => grow(own));
  grow(own);
  if (!own.follow) {
    const event = momentIn(lead, own);
    if (state.isAwaited) go(event);
  }
  acting.begin();
  showRuns();
  await reopen(own, page);
  if (own.lesson) await taught(own, page);
  notice(doubts(own, state.lead));
  share(own);
  document.body.dataset.megabytes = Math.ceil(memory.buffer.byteLength / 1e6);
  document.body.dataset.run = "complete";
  opening.again(own);
  keep();
}

// There is more of the run that is followed. Until the moment is there with which the page begins, or
// somebody goes elsewhere, the newest is shown.
function grow(own) {
  const { lead } = state;
  find("scrubber").max = lead.end;
  if (!state.isAwaited) return redraw();
  const wanted = own.follow ? undefined : momentOf(lead, own);
  const isThere = wanted <= lead.end;
  go(isThere ? wanted : lead.end, isThere ? own.ns : undefined);
  state.isAwaited = !isThere;
}

// Something that went not quite as one would think, but no reason to stop.
function notice(text) {
  find("notice").hidden = !text;
  setText(find("notice").querySelector("span"), text);
}

function share(own) {
  state.share = new Share(find("share"), {
    address: () => writeAddress({ ...own, lesson: lessons.lesson?.id }, { ...state, branches, zoom: chosen("zoom") }),
    isRepeatable: () => !own.isOpen && state.lead.sim.isRepeatable,
    name: () => `${state.lead.isTrace ? "trace" : own.scenario ? "scenario" : `seed-${own.seed}`}-event-${state.event}`,
    title: () => `${find("now-title").textContent} (${milliseconds(state.nowNs)})`,
    scenario: () => state.lead.sim.scenarioAt(state.event),
    trace: () => state.lead.sim.trace(),
  });
  find("share").hidden = false;
}

// The run whose events are stepped through, or one of its branches.
function showRuns() {
  const { lead } = state;
  find("scrubber").max = lead.end;
  jumps.show(lead);
  listRuns(branches, lead, { follow, toggle, remove });
  measure();
  redraw();
}

// Sizes are asked for only where they change: each question has everything laid out anew.
function measure() {
  jumps.fold();
  state.stageHeight = find("stage").clientHeight / magnification();
  for (const branch of branches) branch.measure();
}

function follow(branch) {
  const nowNs = alignedNs(branch);
  state.lead = branch;
  branch.isShown = true;
  state.event = branch.sim.eventAt(nowNs);
  state.nowNs = nowNs;
  showRuns();
}

function toggle(branch) {
  branch.isShown = !branch.isShown || branch === state.lead;
  showRuns();
}

function remove(branch) {
  if (state.lead === branch) follow(branch.parent);
  for (const other of branches) if (other.parent === branch) other.parent = branch.parent;
  branches.splice(branches.indexOf(branch), 1);
  if (inside.place?.branch === branch) inside.close();
  branch.remove();
  showRuns();
  find("act").querySelector("summary").focus();
}

// Does something at the moment that is shown, in a branch, and goes there.
async function act(difference, line) {
  try {
    const branch = await fork(difference);
    // Beside what it came from: more would be too narrow to see anything.
    for (const other of branches) other.isShown = other === branch || other === branch.parent;
    const { actedAt } = branch.sim;
    follow(branch);
    if (actedAt !== undefined) go(actedAt);
    showAhead();
    if (inside.isOpen) inside.follow(branch);
  } catch (error) {
    if (!line || error instanceof WebAssembly.RuntimeError) return fail(error);
    acting.refuse(line, error?.message ?? String(error));
  }
}

// What comes of it has to be in the pictures.
function showAhead() {
  const [from, to] = state.lead.window(chosen("zoom"), state.nowNs, state.lead.acrossNs);
  const ahead = (to - state.nowNs) / (to - from);
  if (ahead < AHEAD || ahead > 1) find("time").querySelector('[value="now"]').checked = true;
}

async function fork(difference) {
  play(false);
  const name = `from ${milliseconds(state.nowNs, 1)}: ${differenceName(difference)}`;
  const branch = state.lead.fork(state.event, difference, name);
  acting.say("Running the branch…");
  await grown(branch).finally(() => acting.say());
  // What it came from may have been removed meanwhile.
  while (branch.parent && !branches.includes(branch.parent)) branch.parent = branch.parent.parent;
  add(branch);
  showRuns();
  lessons.tried(branch);
  return branch;
}

// A branch that is run to its end, unseen.
async function grown(branch) {
  branch.root.hidden = true;
  try {
    await branch.record();
  } catch (error) {
    branch.remove();
    throw error;
  }
}

// A step of a lesson: the run itself at a moment, or branches that leave it at the present one.
async function showLesson({ at, zoom, forks, follow: number }) {
  const [root] = branches;
  if (!forks) for (const branch of branches.filter(({ parent }) => parent)) remove(branch);
  if (zoom) document.querySelector(`input[name="zoom"][value="${zoom}"]`).checked = true;
  for (const difference of forks ?? []) {
    follow(root);
    await fork(difference);
  }
  if (number) follow(branches[number]);
  const event = state.lead.sim.find(at);
  if (event === undefined) throw new Error(`This run has no moment “${at}”.`);
  go(event);
}

function closeLesson() {
  lessons.close();
  state.share?.follow();
  find("learn").focus();
}

function add(branch) {
  branch.onChoice((...choice) => {
    if (branch.isTrace) return lookInside();
    play(false);
    return inside.open(...choice);
  });
  branches.push(branch);
}

function lookInside() {
  play(false);
  if (state.lead.isTrace) return notice("A trace tells what was written where, but holds none of the bytes: there is nothing to look into.");
  if (inside.isOpen) inside.close();
  else inside.open(state.lead, state.lead.sim.moment(state.event, state.nowNs));
}

// Another file is shown from here on.
function opened(open) {
  play(false);
  find("files").open = false;
  return open().catch(fail);
}

// Of a trace nobody knows what is live.
function legend() {
  const names = state.lead.isTrace ? CLASSES.map((name) => name.replace("live ", "")) : CLASSES;
  showLegend(find("legend"), darkness.matches, names);
}

function showSpeed() {
  const speed = 10 ** Number(find("speed").value);
  const shown = speed < 10 ? speed.toFixed(1) : speed.toFixed(0);
  find("speed-shown").value = `${shown}×`;
  find("speed").setAttribute("aria-valuetext", `${shown} ms of the engine's clock a second`);
}

// To an event, at the moment at which it happens or, while playing, at a later one.
function go(event, nowNs) {
  state.isAwaited = false;
  state.event = Math.max(0, Math.min(state.lead.end, event));
  state.nowNs = nowNs ?? state.lead.sim.timeOf(state.event);
  redraw();
}

// What the clock of a run shows beside the one that is followed: the same, if one is a branch of the
// other; else they are compared from the beginning of each one's compaction.
function alignedNs(branch) {
  const nowNs = state.nowNs - state.lead.originNs + branch.originNs;
  return branch === state.lead ? nowNs : Math.min(Math.max(0, nowNs), branch.endNs);
}

// When the last of the runs that are shown ends, on the clock of the one that is followed.
function endNs() {
  return Math.max(...shown().map((branch) => branch.endNs - branch.originNs)) + state.lead.originNs;
}

function shown() {
  return branches.filter((branch) => branch.isShown);
}

function step(stride, forward) {
  play(false);
  go(state.lead.sim.seek(state.event, stride, forward));
}

function play(playing) {
  if (playing && state.nowNs >= endNs()) go(0);
  state.playing = playing;
  state.isAwaited = false;
  state.idle = 0;
  state.lastFrame = performance.now();
  find("play").textContent = playing ? "Pause" : "Play";
  find("play").setAttribute("aria-pressed", String(playing));
  redraw();
}

function redraw() {
  if (state.isDirty) return;
  state.isDirty = true;
  requestAnimationFrame((time) => {
    state.isDirty = false;
    try {
      frame(time);
    } catch (error) {
      fail(error);
    }
  });
}

function frame(time) {
  if (state.playing) {
    advance(time);
    redraw();
  } else {
    state.share?.follow();
  }
  const view = sharedView();
  for (const branch of shown()) {
    const nowNs = alignedNs(branch);
    const isLead = branch === state.lead;
    const moment = branch.draw(isLead ? state.event : branch.sim.eventAt(nowNs), nowNs, view);
    if (isLead) show(branch, moment);
    if (!state.playing && inside.place?.branch === branch) inside.show(moment);
  }
}

function advance(time) {
  state.idle += Math.max(0, time - state.lastFrame) / 1000;
  state.lastFrame = time;
  if (stillness.matches && state.idle < LEAP) return;
  const nowNs = state.nowNs + state.idle * 1e6 * 10 ** Number(find("speed").value);
  state.idle = 0;
  state.nowNs = Math.min(nowNs, endNs());
  state.event = Math.max(state.event, state.lead.sim.eventAt(state.nowNs));
  if (state.nowNs >= endNs()) play(false);
}

// The same sizes and the same scale for all branches, so that they can be compared at a glance.
function sharedView() {
  const [isNarrow, isAlone] = [innerWidth < 960, branches.length === 1];
  const blocks = [0, 1].map((place) => Math.max(...shown().map((branch) => branch.sim.blocks[place])));
  for (const branch of shown()) branch.sim.setScale(...blocks);
  // Stage, lanes and charts are seen together, whatever the screen. Where they stand one below the
  // other they are as high as they like.
  const lanesHeight = Math.max(...shown().map((branch) => branch.heights(0)[2]));
  const room = state.stageHeight - lanesHeight - (comfort.isProjector ? FEWER_WORDS : WORDS) - (isAlone ? 0 : HEADING);
  const least = comfort.isProjector ? 130 : 170;
  const chartsHeight = comfort.isProjector ? 0 : isNarrow ? 200 : Math.round(Math.max(115, Math.min(200, room * 0.3)));
  const ribbonsHeight = isNarrow ? 300 : Math.max(least, room - chartsHeight);
  const heights = shown().map((branch) => branch.heights(ribbonsHeight));
  const tallest = heights[0].map((_, index) => Math.max(...heights.map((each) => each[index])));
  const across = Math.max(...shown().map((branch) => branch.acrossNs));
  return { zoom: chosen("zoom"), across, ribbonsHeight, chartsHeight, tallest, dark: darkness.matches };
}

function show(main, moment) {
  tell(main, moment, state);
  jumps.follow(state.event);
  if (main.isComplete && !main.isTrace) acting.show(main.sim.choices(state.event), state.told);
  const speed = 10 ** Number(find("speed").value);
  comfort.say(state.event, find("log").lastChild?.textContent ?? "", state.playing, speed);
}

function listen() {
  find("play").addEventListener("click", () => play(!state.playing));
  find("back").addEventListener("click", () => step(chosen("stride"), false));
  find("forward").addEventListener("click", () => step(chosen("stride"), true));
  find("first").addEventListener("click", () => go(0));
  find("last").addEventListener("click", () => go(state.lead.end));
  find("look").addEventListener("click", lookInside);
  find("learn").addEventListener("click", () => lessons.list());
  welcome();
  onChoice(find("log"), find("recovery"), {
    now: () => state,
    go: (event) => {
      play(false);
      go(event);
    },
    open: (...place) => inside.open(state.lead, ...place),
  });
  find("scrubber").addEventListener("input", (input) => {
    play(false);
    go(Number(input.target.value));
  });
  find("speed").addEventListener("input", showSpeed);
  find("notice").querySelector("button").addEventListener("click", () => (find("notice").hidden = true));
  for (const zoom of document.querySelectorAll('input[name="zoom"]')) zoom.addEventListener("change", redraw);
  darkness.addEventListener("change", () => {
    legend();
    redraw();
  });
  // Also where it is a scroll bar that takes room away.
  new ResizeObserver(() => {
    measure();
    redraw();
  }).observe(find("stage"));
  addEventListener("keydown", key);
  find("choose").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) opened(() => opening.open(file));
  });
  onDrop((file) => opened(() => opening.open(file)));
  find("files").addEventListener("toggle", ({ target }) => {
    const isThere = !own.isOpen && !state.lead.isTrace;
    if (target.open) listSaves(find("saves"), isThere ? state.lead.sim : undefined, state.event);
  });
}

// Keys are the page's only where no field or button needs them.
function key(pressed) {
  if (pressed.key === "Escape" && inside.isOpen && !document.querySelector("dialog[open]")) return inside.close();
  if (!comfort.hasKeys) return;
  const isField = pressed.target.closest("input, select, button, summary, a");
  if (isField || pressed.ctrlKey || pressed.altKey || pressed.metaKey) return;
  const stride = pressed.shiftKey ? "phase" : chosen("stride");
  const keys = {
    " ": () => play(!state.playing),
    ".": () => play(!state.playing),
    "?": () => comfort.help(),
    w: () => showWords(),
    p: () => comfort.switchProjector(),
    PageUp: () => step("phase", false),
    PageDown: () => step("phase", true),
    ArrowLeft: () => step(stride, false),
    ArrowRight: () => step(stride, true),
    Home: () => go(0),
    End: () => go(state.lead.end),
    i: lookInside,
    ...(own.isOpen ? own.keys() : {}),
  };
  if (!keys[pressed.key]) return;
  pressed.preventDefault();
  keys[pressed.key]();
}

// For whoever tries the engine and the addresses without the page.
export { Branch, Sim, readAddress, writeAddress };

// Of another address of the same page the browser only tells.
addEventListener("popstate", () => location.reload());
addEventListener("error", (event) => fail(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => fail(event.reason));
const begun = begin().catch(fail);
