// One run and its pictures. Several of them stand side by side to be compared.

import { Sim, drawSwatch } from "./tailswap.js";
import { CLASSES, fileCaption, outcome } from "./words.js";

// For so long at a time a run is recorded, that the page stays responsive meanwhile.
const SLICE_MS = 12;
const ACTIONS = 8;
// More than that no run has, and no number of the engine.
const ACTIONS_MAX = 2 ** 32 - 1;
// Of a trace nothing is run, only read.
const EVENTS = 20_000;

// What is drawn is so much larger on a projector, as far as all of it is seen at once: pixels that the
// stage wants at least, and those of what is above and below it.
const [PROJECTOR_LEAST, PROJECTOR_MOST] = [1.15, 1.6];
const [STAGE, AROUND] = [385, 235];

// How much of a file's blocks is seen.
const OPACITIES = { gone: 0.12, held_by_reader: 0.5 };

export class Branch {
  constructor(sim, name, parent) {
    this.sim = sim;
    this.name = name;
    this.parent = parent;
    // Where it left runs that it came from, and by what it differs since: the first is the oldest.
    this.steps = [];
    // Then there are no bytes, and no world to go on with.
    this.isTrace = sim.vbuckets !== undefined;
    this.isShown = true;
    this.isComplete = false;
    [this.end, this.endNs, this.originNs, this.acrossNs, this.marks] = [0, 0, 0, 0, []];
    // Of a trace, which can have many: when each begins, and how long it takes.
    this.compactions = [];
    const template = document.getElementById("branch");
    this.root = template.content.firstElementChild.cloneNode(true);
    this.heading = this.root.querySelector("h2");
    this.outcome = this.root.querySelector(".outcome");
    this.captions = [...this.root.querySelectorAll(".ribbon figcaption")];
    const all = (selector) => [...this.root.querySelectorAll(selector)];
    this.ribbons = all(".ribbon .plot").map((plot) => ({ plot, blocks: plot.firstChild, notes: plot.lastChild }));
    [this.lanes, this.charts] = all(".lanes canvas, .charts canvas");
    this.later = [...this.root.querySelectorAll(".later")];
    this.drawn = "";
    document.getElementById("branches").append(this.root);
  }

  // Calls `chosen` with the file and the byte of what is clicked in a ribbon.
  onChoice(chosen) {
    this.ribbons.forEach(({ plot }, place) => plot.addEventListener("click", (click) => {
      const file = this.seen?.moment.places[place];
      if (file === undefined || file === null) return;
      const box = plot.getBoundingClientRect();
      const [x, y] = [click.clientX - box.left, click.clientY - box.top].map((each) => each / magnification());
      const byte = this.sim.byteAt(x, y, this.width, this.seen.ribbonsHeight);
      chosen(this, this.seen.moment, file, byte);
    }));
  }

  static of(parameters, name) {
    return new Branch(simOf(parameters), name);
  }

  // The same up to an event, and different from then on.
  fork(event, difference, name) {
    return this.branch(this.sim.fork(event, difference), difference, name);
  }

  // The same, from where it left and by what it differs, as an address has them.
  forkAfter([{ after, difference }, ...later], name) {
    const branch = this.branch(this.sim.forkAfter(Math.min(after, ACTIONS_MAX), difference), difference, name);
    for (const step of later) {
      const { sim } = branch;
      branch.sim = sim.forkAfter(step.after, step.difference);
      branch.steps.push(step);
      sim.free();
    }
    return branch;
  }

  branch(sim, difference, name) {
    const branch = new Branch(sim, name, this);
    const after = sim.forkedAfter;
    branch.steps = [...this.steps.filter((step) => step.after < after), { after, difference }];
    return branch;
  }

  // Records the run; `grown` is called each time that there is more of it.
  async record(grown) {
    this.outcome.textContent = "running…";
    const atOnce = this.isTrace ? EVENTS : ACTIONS;
    let began = performance.now();
    while (this.sim.advance(atOnce)) {
      if (performance.now() - began < SLICE_MS) continue;
      if (grown) {
        this.take();
        grown();
      }
      await breath();
      began = performance.now();
    }
    this.take();
    const timeOf = (event) => this.sim.timeOf(event);
    const published = this.marks.findLast((mark) => mark.name === "published");
    this.acrossNs = (published ? timeOf(published.event) : this.endNs) - this.originNs;
    if (this.isTrace) this.compactions = compactions(this.marks, timeOf, this.endNs);
    const { refused } = this.sim;
    this.outcome.textContent = refused
      ? `Refused, so that nothing differs: ${refused}`
      : outcome(this.marks, timeOf, (event) => this.sim.moment(event, 0), this.sim.cutShort);
    this.isComplete = true;
    this.measure();
  }

  // What is known of the run as far as it has come.
  take() {
    this.marks = this.sim.marks();
    this.end = Math.max(0, this.sim.eventCount - 1);
    this.endNs = this.sim.endNs;
    // Branches have the clock of the run that they left.
    const start = this.marks.find((mark) => mark.name === "start");
    this.originNs = this.parent?.originNs ?? (start ? this.sim.timeOf(start.event) : 0);
    this.acrossNs = this.endNs - this.originNs;
  }

  measure() {
    this.width = Math.floor(this.root.clientWidth / magnification());
    this.drawn = "";
  }

  remove() {
    this.root.remove();
    this.sim.free();
  }

  heights(ribbonsHeight) {
    return [...this.sim.heights(this.width, ribbonsHeight)];
  }

  // The part of the run that lanes and charts show: as much of it as of those beside it.
  window(zoom, nowNs, across) {
    if (zoom === "run") return [0, this.endNs];
    if (zoom === "compaction") {
      const [beginNs, lastsNs] = this.compactions.findLast(([begin]) => begin <= nowNs) ?? this.compactions[0] ?? [this.originNs, across];
      return [Math.max(0, beginNs - lastsNs * 0.12), beginNs + lastsNs * 1.18];
    }
    return [Math.max(0, nowNs - across * 0.08), nowNs + across * 0.04];
  }

  // In a view that all branches share.
  draw(event, nowNs, { zoom, across, ribbonsHeight, chartsHeight, tallest, dark }) {
    const moment = this.sim.moment(event, nowNs);
    const { width } = this;
    const heights = this.heights(ribbonsHeight);
    const [from, to] = this.window(zoom, nowNs, across);
    this.captions.forEach((caption, place) => {
      const file = moment.files.find((each) => each.index === moment.places[place]);
      const [name, rest] = fileCaption(file, place === 0);
      const [bold, text] = caption.children;
      setText(bold, name);
      setText(text, rest);
    });
    this.ribbons.forEach(({ plot, blocks, notes }, place) => {
      const role = moment.files.find((each) => each.index === moment.places[place])?.role;
      blocks.style.opacity = OPACITIES[role] ?? 1;
      plot.style.marginBottom = `${(tallest[place] - heights[place]) * magnification()}px`;
      const below = fitted(blocks, width, heights[place]);
      this.sim.drawBlocks(below.context, place, event, width, ribbonsHeight, dark, below.isFresh);
      const { context } = fitted(notes, width, heights[place]);
      this.sim.drawNotes(context, place, event, width, ribbonsHeight, dark);
      const { selection } = this;
      if (selection && selection.file === moment.places[place]) {
        this.sim.drawSelection(context, selection.start, selection.end, width, ribbonsHeight, dark);
      }
    });
    this.seen = { moment, ribbonsHeight };
    if (!this.isComplete) return moment;
    // What lies behind now is only veiled, so that these need no drawing as long as time alone goes on.
    const view = [from, to, width, chartsHeight, tallest, dark].join();
    if (this.drawn !== view) {
      this.drawn = view;
      this.lanes.style.marginBottom = `${(tallest[2] - heights[2]) * magnification()}px`;
      this.sim.drawLanes(fitted(this.lanes, width, heights[2]).context, from, to, width, dark);
      if (chartsHeight) this.sim.drawCharts(fitted(this.charts, width, chartsHeight).context, from, to, width, chartsHeight, dark);
    }
    const left = `${this.sim.across(nowNs, from, to, width) * magnification()}px`;
    for (const veil of this.later) veil.style.left = left;
    return moment;
  }
}

// A run that has not begun.
export function simOf({ scenario, seed, device, rounds, value, actions }) {
  return scenario ? Sim.ofScenario(scenario) : new Sim(seed, device, rounds, value, actions);
}

// Only what changes is written: whatever is written is laid out again.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// How many CSS pixels one of what is drawn takes.
export function magnification() {
  if (!document.documentElement.classList.contains("projector")) return 1;
  return Math.max(PROJECTOR_LEAST, Math.min(PROJECTOR_MOST, (innerHeight - AROUND) / STAGE));
}

// What the colours and hatchings of blocks stand for, each with room for a number behind it.
export function showLegend(list, dark, names = CLASSES) {
  list.replaceChildren(...names.map((name, index) => {
    const item = document.createElement("li");
    const canvas = document.createElement("canvas");
    item.append(canvas, name, document.createElement("span"));
    drawSwatch(fitted(canvas, 18, 18).context, index, 18, dark);
    return item;
  }));
}

// A canvas of this size, in CSS pixels before they are magnified, sharp on every screen.
export function fitted(canvas, width, height) {
  const scale = (window.devicePixelRatio || 1) * magnification();
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext("2d");
  const isFresh = canvas.width !== wide || canvas.height !== high;
  if (isFresh) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.height = `${height * magnification()}px`;
    context.setTransform(scale, 0, 0, scale, 0, 0);
  }
  return { context, isFresh };
}

// When each compaction begins, and how long it takes until its file is in charge, or the next one begins.
function compactions(marks, timeOf, endNs) {
  const all = [];
  for (const { name, event } of marks) {
    const last = all.at(-1);
    if (name === "start") all.push([timeOf(event), endNs - timeOf(event)]);
    else if (last && (name === "published" || name === "end")) last[1] = Math.min(last[1], timeOf(event) - last[0]);
  }
  return all;
}

// Lets the page draw and listen before work goes on.
export function breath() {
  return globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));
}
