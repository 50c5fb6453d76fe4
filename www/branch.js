// One run and its pictures. Several of them stand side by side to be compared.

import { Sim } from "./tailswap.js";
import { fileCaption, outcome } from "./words.js";

// So many actions at a time, that the page stays responsive while a run is recorded.
const ACTIONS = 400;

export class Branch {
  constructor(parameters, title) {
    this.parameters = parameters;
    this.sim = new Sim(parameters.seed, parameters.device, parameters.rounds);
    const template = document.getElementById("branch");
    this.root = template.content.firstElementChild.cloneNode(true);
    this.root.querySelector("h2").textContent = title;
    this.canvases = [...this.root.querySelectorAll("canvas")];
    document.getElementById("branches").append(this.root);
  }

  async record() {
    while (this.sim.advance(ACTIONS)) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    this.marks = this.sim.marks();
    const at = (name) => this.marks.find((mark) => mark.name === name)?.event ?? 0;
    this.startNs = this.sim.timeOf(at("start"));
    this.publishedNs = this.sim.timeOf(at("published"));
    this.end = this.sim.eventCount - 1;
    const whole = this.sim.moment(this.end, this.sim.endNs);
    this.root.querySelector(".outcome").textContent = outcome(whole, this.marks, (event) => this.sim.timeOf(event));
  }

  get acrossNs() {
    return this.publishedNs - this.startNs;
  }

  heights(ribbonsHeight) {
    return [...this.sim.heights(Math.floor(this.root.clientWidth), ribbonsHeight)];
  }

  // The part of the run that lanes and charts show: as much of it as of those beside it.
  window(zoom, nowNs, across) {
    if (zoom === "run") return [0, this.sim.endNs];
    if (zoom === "compaction") return [Math.max(0, this.startNs - across * 0.12), this.startNs + across * 1.18];
    return [Math.max(0, nowNs - across * 0.08), nowNs + across * 0.04];
  }

  // In a view that all branches share.
  draw(event, nowNs, { zoom, across, ribbonsHeight, tallest, dark }) {
    const moment = this.sim.moment(event, nowNs);
    const width = Math.floor(this.root.clientWidth);
    const heights = this.heights(ribbonsHeight);
    const [from, to] = this.window(zoom, nowNs, across);
    this.root.querySelectorAll(".ribbon figcaption").forEach((caption, index) => {
      const [name, rest] = fileCaption(moment.files.find((file) => file.index === index), index === 0);
      const bold = document.createElement("b");
      bold.textContent = name;
      caption.replaceChildren(bold, ` ${rest}`);
    });
    const draws = [
      (context) => this.sim.drawRibbon(context, 0, event, width, ribbonsHeight, dark),
      (context) => this.sim.drawRibbon(context, 1, event, width, ribbonsHeight, dark),
      (context) => this.sim.drawLanes(context, nowNs, from, to, width, dark),
      (context) => this.sim.drawCharts(context, nowNs, from, to, width, dark),
    ];
    draws.forEach((draw, index) => {
      draw(fitted(this.canvases[index], width, heights[index]));
      this.canvases[index].style.marginBottom = `${tallest[index] - heights[index]}px`;
    });
    return moment;
  }
}

// A canvas of this size in CSS pixels, sharp on every screen.
export function fitted(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}
