// The page: time, and what goes with the moment that is shown.

import init, { drawSwatch, lastPanic } from "./tailswap.js";
import { Branch, fitted } from "./branch.js";
import { CLASSES, bytes, eventLine, lockWords, markName, milliseconds, story, swapStep } from "./words.js";

const find = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const darkness = matchMedia("(prefers-color-scheme: dark)");
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
// With reduced motion playing goes on by leaps, in seconds.
const LEAP = 0.5;
const LOG_LINES = 5;

const branches = [];
const state = { event: 0, nowNs: 0, playing: false, lastFrame: 0, isDirty: false, idle: 0, told: "" };

function fail(error) {
  state.playing = false;
  document.body.dataset.state = "trouble";
  find("trouble").hidden = false;
  find("trouble").querySelector("pre").textContent = lastPanicText() ?? error?.message ?? String(error);
}

function lastPanicText() {
  try {
    return lastPanic();
  } catch {
    return undefined; // The engine was not even loaded.
  }
}

// Parameters are those of the address, so that a run can be linked to.
function parameters() {
  const query = new URLSearchParams(location.search);
  const get = (name, otherwise) => query.get(name) || otherwise;
  return {
    seed: Number(get("seed", "1")), device: get("device", "nvme"), rounds: get("rounds", "many"),
    compare: get("compare", ""), at: get("at", "start"), event: query.get("event"), zoom: get("zoom", "compaction"),
  };
}

function compared(own) {
  const rounds = own.rounds === "many" ? "one" : "many";
  const device = own.device === "nvme" ? "sata" : "network";
  if (own.compare === "rounds") return [{ ...own, rounds }];
  if (own.compare === "device") return [{ ...own, device }];
  if (own.compare) throw new Error(`There is nothing to compare by “${own.compare}”: it is rounds or device.`);
  return [];
}

function title(own, isCompared) {
  const rounds = own.rounds === "many" ? "rounds until the tail is short" : "one round, then the lock";
  return isCompared ? `${own.device}: ${rounds}` : "";
}

async function begin() {
  const own = parameters();
  const others = compared(own);
  for (const name of ["seed", "device", "rounds", "compare"]) {
    document.querySelector(`[name="${name}"]`).value = own[name];
  }
  find("run-summary").textContent = `Run: seed ${own.seed}, ${own.device}, ${own.rounds} round${own.rounds === "one" ? "" : "s"}`;
  await init({ module_or_path: "tailswap_bg.wasm" });
  for (const each of [own, ...others]) branches.push(new Branch(each, title(each, others.length > 0)));
  for (const branch of branches) await branch.record();
  const [main] = branches;
  const scrubber = find("scrubber");
  scrubber.max = main.end;
  showMarks(main);
  showLegend();
  showSpeed();
  const zoom = document.querySelector(`input[name="zoom"][value="${CSS.escape(own.zoom)}"]`);
  if (zoom) zoom.checked = true;
  const mark = main.marks.find((mark) => mark.name === own.at.replace("+", " "));
  const event = own.event === null ? mark?.event : Number(own.event);
  if (!(event >= 0 && event <= main.end)) throw new Error(`This run has no moment “${own.event ?? own.at}”.`);
  document.body.dataset.state = "ready";
  go(event);
}

function showMarks(main) {
  const marks = main.marks.filter((mark) => markName(mark.name));
  find("marks").replaceChildren(...marks.map((mark) => new Option(markName(mark.name), mark.event)));
  find("jumps").replaceChildren(...marks.map((mark) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = markName(mark.name);
    button.dataset.event = mark.event;
    button.addEventListener("click", () => go(mark.event));
    return button;
  }));
}

function showLegend() {
  find("legend").replaceChildren(...CLASSES.map((name, index) => {
    const item = document.createElement("li");
    const canvas = document.createElement("canvas");
    item.append(canvas, name, document.createElement("span"));
    drawSwatch(fitted(canvas, 18, 18), index, 18, darkness.matches);
    return item;
  }));
}

function showSpeed() {
  const speed = 10 ** Number(find("speed").value);
  const shown = speed < 10 ? speed.toFixed(1) : speed.toFixed(0);
  find("speed-shown").value = `${shown}×`;
  find("speed").setAttribute("aria-valuetext", `${shown} ms of the engine's clock a second`);
}

// To an event, at the moment at which it happens or, while playing, at a later one.
function go(event, nowNs) {
  const [main] = branches;
  state.event = Math.max(0, Math.min(main.end, event));
  state.nowNs = nowNs ?? main.sim.timeOf(state.event);
  redraw();
}

function step(stride, forward) {
  play(false);
  go(branches[0].sim.seek(state.event, stride, forward));
}

function play(playing) {
  const [main] = branches;
  if (playing && state.event >= main.end) go(0);
  state.playing = playing;
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
  const [main] = branches;
  if (state.playing) {
    advance(main, time);
    redraw();
  }
  const view = sharedView();
  const since = state.nowNs - main.startNs;
  const moment = main.draw(state.event, state.nowNs, view);
  for (const branch of branches.slice(1)) {
    // Compared from the beginning of each one's compaction.
    const nowNs = Math.min(Math.max(0, branch.startNs + since), branch.sim.endNs);
    branch.draw(branch.sim.eventAt(nowNs), nowNs, view);
  }
  show(main, moment);
}

function advance(main, time) {
  state.idle += Math.max(0, time - state.lastFrame) / 1000;
  state.lastFrame = time;
  if (stillness.matches && state.idle < LEAP) return;
  const nowNs = state.nowNs + state.idle * 1e6 * 10 ** Number(find("speed").value);
  state.idle = 0;
  state.nowNs = Math.min(nowNs, main.sim.endNs);
  state.event = Math.max(state.event, main.sim.eventAt(state.nowNs));
  if (state.nowNs >= main.sim.endNs) play(false);
}

// The same sizes and the same scale for all branches, so that they can be compared at a glance.
function sharedView() {
  const isNarrow = innerWidth < 960;
  // What is left of the first screen, so that ribbons, lanes and time are seen together.
  const ribbonsHeight = isNarrow ? 300 : Math.max(310, innerHeight - 560);
  const heights = branches.map((branch) => branch.heights(ribbonsHeight));
  const tallest = heights[0].map((_, index) => Math.max(...heights.map((each) => each[index])));
  const across = Math.max(...branches.map((branch) => branch.acrossNs));
  return { zoom: chosen("zoom"), across, ribbonsHeight, tallest, dark: darkness.matches };
}

function show(main, moment) {
  const [heading, why] = story(moment);
  if (state.told !== heading) {
    state.told = heading;
    find("now-title").textContent = heading;
    find("now-why").textContent = why;
  }
  find("scrubber").value = state.event;
  find("scrubber").setAttribute("aria-valuetext", `event ${state.event}, ${milliseconds(state.nowNs)}`);
  showFacts(main, moment);
  const done = moment.swap.filter((swap) => swap.atNs !== undefined && swap.atNs !== null);
  find("swap").replaceChildren(...moment.swap.map((swap) => {
    const item = document.createElement("li");
    item.textContent = swapStep(swap.step);
    item.classList.toggle("done", done.includes(swap));
    item.classList.toggle("latest", swap === done.at(-1) && moment.isCompacting);
    return item;
  }));
  const first = Math.max(0, state.event - LOG_LINES + 1);
  const lines = [];
  for (let index = first; index <= state.event; index += 1) {
    const item = document.createElement("li");
    item.textContent = eventLine(JSON.parse(main.sim.event(index)));
    lines.push(item);
  }
  find("log").replaceChildren(...lines);
  const buttons = [...find("jumps").children];
  const current = buttons.findLast((button) => Number(button.dataset.event) <= state.event);
  for (const button of buttons) button.setAttribute("aria-current", String(button === current));
}

function showFacts(main, moment) {
  find("lock").textContent = `The lock: ${lockWords(moment)}`;
  find("lock").classList.toggle("held", moment.holder === "compactor");
  const inCharge = moment.files.find((file) => file.role === "in_charge");
  const counted = moment.files.reduce((sum, file) => sum + file.classes.reduce((all, each) => all + each, 0), 0);
  const length = moment.files.reduce((sum, file) => sum + file.length, 0);
  const facts = [
    ["time", milliseconds(state.nowNs)],
    ["event", `${state.event} of ${main.end}`],
    ["queued", `${moment.queued} mutations`],
    ["flusher waited at most", milliseconds(moment.longestStallNs)],
    ["compactor held the lock", milliseconds(moment.lockHeldNs)],
    ["bytes told apart", length ? `${Math.round((counted / length) * 100)} % of ${bytes(length)}` : "–"],
  ];
  find("facts").replaceChildren(...facts.flatMap(([name, value]) => {
    const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    detail.textContent = value;
    return [term, detail];
  }));
  const spans = find("legend").querySelectorAll("li span");
  spans.forEach((span, index) => {
    span.textContent = inCharge ? bytes(inCharge.classes[index]) : "";
  });
}

function listen() {
  find("play").addEventListener("click", () => play(!state.playing));
  find("back").addEventListener("click", () => step(chosen("stride"), false));
  find("forward").addEventListener("click", () => step(chosen("stride"), true));
  find("first").addEventListener("click", () => go(0));
  find("last").addEventListener("click", () => go(branches[0].end));
  find("scrubber").addEventListener("input", (input) => {
    play(false);
    go(Number(input.target.value));
  });
  find("speed").addEventListener("input", showSpeed);
  for (const zoom of document.querySelectorAll('input[name="zoom"]')) zoom.addEventListener("change", redraw);
  darkness.addEventListener("change", () => {
    showLegend();
    redraw();
  });
  // Also where it is a scroll bar that takes room away.
  new ResizeObserver(redraw).observe(find("branches"));
  addEventListener("keydown", key);
}

// Keys are the page's only where no field or button needs them.
function key(pressed) {
  const isField = pressed.target.closest("input, select, button, summary, a");
  if (isField || pressed.ctrlKey || pressed.altKey || pressed.metaKey) return;
  const stride = pressed.shiftKey ? "phase" : chosen("stride");
  const keys = {
    " ": () => play(!state.playing),
    ArrowLeft: () => step(stride, false),
    ArrowRight: () => step(stride, true),
    Home: () => go(0),
    End: () => go(branches[0].end),
  };
  if (!keys[pressed.key]) return;
  pressed.preventDefault();
  keys[pressed.key]();
}

addEventListener("error", (event) => fail(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => fail(event.reason));
begin().then(listen, fail);
