// A file from elsewhere: its map, its headers as a history to scrub, and what is wrong with it, where.

import { OwnFile } from "./tailswap.js";
import { breath, fitted, magnification, setText, showLegend } from "./branch.js";
import { save } from "./files.js";
import { element } from "./inside.js";
import { CLASSES, bytes, headerStory } from "./words.js";

// Beyond this a browser may have no memory for it.
const LENGTH_MAX = 512 * 1024 * 1024;
// For so long at a time it is looked into, and so often told how far that is.
const [SLICE_MS, TOLD_MS] = [12, 120];
const FINDINGS = 60;
// Where `moment` has what it tells.
const HEADER = CLASSES.length + 1;

const darkness = matchMedia("(prefers-color-scheme: dark)");
const whole = new Intl.NumberFormat("en");

export class Own {
  // `inside` looks inside; `said` is told what cannot be done, `opens` what the address says of a file;
  // `closed` shows the run again.
  constructor(root, facts, inside, { said, opened, opens, closed, run }) {
    Object.assign(this, { root, facts, inside, said, opens, moment: 0 });
    const find = (name) => root.querySelector(`.${name}`);
    Object.assign(this, {
      caption: root.querySelector("figcaption"), plot: root.querySelector(".plot"), scrubber: root.querySelector("[type=range]"),
      shown: root.querySelector("output"), reading: find("reading"), run: find("run"),
      heading: facts.querySelector("h2"), why: facts.querySelector("p"), list: facts.querySelector("dl"),
      legend: facts.querySelector("ul"), findings: facts.querySelector("ol"), sound: facts.querySelector(".sound"),
    });
    [this.blocks, this.notes] = this.plot.children;
    this.scrubber.addEventListener("input", () => this.go(Number(this.scrubber.value)));
    for (const [name, by] of [["first", -Infinity], ["back", -1], ["forward", 1], ["last", Infinity]]) {
      find(name).addEventListener("click", () => this.go(this.moment + by));
    }
    find("look").addEventListener("click", () => this.lookAt());
    find("close").addEventListener("click", () => {
      this.close();
      closed();
    });
    find("save").addEventListener("click", () => save(this.name, this.sim.bytes(0, 0, 0, this.length)));
    this.run.addEventListener("click", () => run(this));
    document.getElementById("sample").addEventListener("click", () => opened(() => this.open("sample.couch", OwnFile.sample(), { sample: "yes" })));
    this.plot.addEventListener("click", (click) => {
      const box = this.plot.getBoundingClientRect();
      const [x, y] = [click.clientX - box.left, click.clientY - box.top].map((each) => each / magnification());
      this.lookAt(this.sim.byteAt(x, y, this.width, this.room));
    });
    new ResizeObserver(() => this.draw()).observe(root);
    darkness.addEventListener("change", () => {
      if (!this.isOpen) return;
      showLegend(this.legend, darkness.matches);
      this.tell();
      this.draw();
    });
  }

  get isOpen() {
    return document.body.dataset.view === "file";
  }

  // Whatever is in it: a file that cannot be read is shown as far as it can be.
  async choose(file) {
    performance.mark("own-given");
    if (file.size > LENGTH_MAX) {
      this.said(`${file.name} has ${bytes(file.size)}; this page takes up to ${bytes(LENGTH_MAX)}. The command “tailswap check” takes any.`);
      return;
    }
    await this.open(file.name, new Uint8Array(await file.arrayBuffer()));
  }

  async open(name, content, address = { own: name }) {
    this.said("");
    this.inside.close();
    this.sim?.free();
    const sim = new OwnFile(name, content);
    Object.assign(this, { sim, name, address, length: content.length, selection: undefined, isFresh: true });
    document.body.dataset.view = "file";
    this.opens(address);
    document.body.dataset.own = "reading";
    showLegend(this.legend, darkness.matches);
    this.measure();
    this.moment = this.last;
    this.tell();
    this.draw();
    requestAnimationFrame(() => performance.mark("own-map"));
    this.heading.focus({ preventScroll: true });
    await this.read(sim);
  }

  // The older headers and the check of all bytes, as long as nobody opens another file meanwhile.
  async read(sim) {
    await breath();
    let [began, told] = [performance.now(), performance.now()];
    while (this.sim === sim && sim.step()) {
      if (performance.now() - began < SLICE_MS) continue;
      if (performance.now() - told > TOLD_MS) {
        this.tell();
        told = performance.now();
      }
      await breath();
      began = performance.now();
    }
    if (this.sim !== sim) return;
    // What is dead is known better than at first sight.
    this.isFresh = true;
    performance.mark("own-known");
    document.body.dataset.own = "complete";
    this.tell();
    this.draw();
  }

  // A run is about to begin with it; what says so is shown first.
  async prepares() {
    setText(this.heading, "Preparing the run…");
    await new Promise((shown) => requestAnimationFrame(() => setTimeout(shown)));
  }

  // Why nothing can be run on it.
  refuse(why) {
    setText(this.heading, "No run can begin with it");
    setText(this.why, why);
  }

  close() {
    if (!this.isOpen) return;
    this.inside.close();
    delete document.body.dataset.view;
    this.sim.free();
    this.sim = undefined;
  }

  go(moment) {
    this.measure();
    this.moment = Math.max(this.first, Math.min(this.last, moment));
    this.tell();
    this.draw();
  }

  lookAt(byte) {
    const { position } = this.state();
    this.inside.open(this, this.seen(), 0, Math.min(byte ?? position ?? 0, this.length - 1));
    this.draw();
  }

  // A moment as looking inside wants it.
  seen() {
    return { event: this.moment, files: [{ index: 0, role: "in_charge", newest: this.state().position ?? 0 }] };
  }

  measure() {
    [this.progress, this.first, this.last, this.count, this.isReadable] = this.sim.extent();
  }

  state() {
    const told = [...this.sim.moment(this.moment)];
    const [position, version, updateSeq, purgeSeq, timestampMs, documents, deleted, unused] = told.slice(HEADER);
    return { length: told[0], classes: told.slice(1, HEADER), position, version, updateSeq, purgeSeq, timestampMs, documents, deleted, unused };
  }

  tell() {
    const { sim } = this;
    const state = this.state();
    this.measure();
    const { first, last, count, progress } = this;
    const isKnown = progress >= 1;
    Object.assign(this.scrubber, { min: first, max: last, value: this.moment });
    const which = this.moment >= count ? `all, behind ${count} headers` : `header ${this.moment + 1} of ${count}`;
    setText(this.shown, which);
    this.scrubber.setAttribute("aria-valuetext", which);
    setText(this.reading, isKnown ? "" : `reading older headers, then checking: ${Math.floor(progress * 100)} %`);
    const [name, rest] = this.caption.children;
    setText(name, this.name);
    setText(rest, `${bytes(state.length)}${state.length < this.length ? ` of ${bytes(this.length)}` : ""}`);
    const findings = sim.findings();
    const problems = findings.filter((finding) => finding.severity === "problem");
    const [heading, why] = headerStory(this.isReadable, this.moment >= last, problems[0]);
    setText(this.heading, heading);
    setText(this.why, why);
    this.tellFacts(state);
    this.tellFindings(findings, isKnown);
    this.run.disabled = !this.isReadable;
  }

  tellFacts(state) {
    const told = state.classes.reduce((sum, each) => sum + each, 0);
    const unknown = state.classes.at(-1);
    const facts = [["bytes told apart", state.length ? `${Math.floor((told / state.length) * 100)} % of ${whole.format(state.length)}` : "–"]];
    if (unknown) facts.push(["of these unknown or damaged", whole.format(unknown)]);
    facts.push(["types of blocks among them", whole.format(Math.ceil(state.length / 4096))]);
    if (state.position !== undefined) {
      facts.push(
        ["header at byte", whole.format(state.position)], ["disk version", state.version],
        ["documents", whole.format(state.documents)], ["tombstones", whole.format(state.deleted)],
        ["highest sequence number", whole.format(state.updateSeq)], ["purged up to", whole.format(state.purgeSeq)],
        ["not in use", `${Math.round(state.unused * 100)} %`],
      );
      // Simulated clocks begin with 1970.
      if (state.timestampMs > 1e12) facts.push(["committed", new Date(state.timestampMs).toISOString().slice(0, 19).replace("T", " ")]);
    }
    this.list.replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]));
    [...this.legend.children].forEach((item, index) => {
      item.hidden = index === CLASSES.length - 1 && !unknown;
      setText(item.lastChild, bytes(state.classes[index], 1));
    });
  }

  tellFindings(findings, isKnown) {
    const key = findings.map(({ offset, what }) => `${offset} ${what}`).join();
    const none = isKnown ? "Every chunk and every header is as it should be." : "Nothing so far.";
    setText(this.sound, findings.length ? "" : none);
    if (this.told === key && this.findings.children.length) return;
    this.told = key;
    const items = findings.slice(0, FINDINGS).map(({ severity, offset, what }) => {
      const item = element("li", `${severity} `);
      item.className = severity;
      const button = element("button", `at byte ${offset}`);
      button.type = "button";
      button.addEventListener("click", () => {
        this.go(this.last);
        this.lookAt(offset);
      });
      item.append(button, ` ${what}`);
      return item;
    });
    if (findings.length > FINDINGS) items.push(element("li", `… ${findings.length - FINDINGS} more`));
    this.findings.replaceChildren(...items);
  }

  draw() {
    if (!this.isOpen || !this.sim) return;
    this.width = Math.floor(this.plot.clientWidth / magnification());
    this.room = innerWidth < 960 ? 420 : Math.max(200, this.root.clientHeight / magnification() - 120);
    const height = this.sim.height(this.width, this.room);
    const dark = darkness.matches;
    const below = fitted(this.blocks, this.width, height);
    this.sim.drawBlocks(below.context, this.moment, this.width, this.room, dark, below.isFresh || this.isFresh);
    this.isFresh = false;
    const { start, end } = this.selection ?? { start: 0, end: 0 };
    this.sim.drawNotes(fitted(this.notes, this.width, height).context, this.moment, this.width, this.room, dark, start, end);
    if (this.inside.place?.branch === this) this.inside.show(this.seen());
  }

  // What keys do, in place of what they do with a run.
  keys() {
    const none = () => {};
    return {
      " ": none, ".": none, PageUp: () => this.go(this.moment - 1), PageDown: () => this.go(this.moment + 1),
      ArrowLeft: () => this.go(this.moment - 1), ArrowRight: () => this.go(this.moment + 1),
      Home: () => this.go(-Infinity), End: () => this.go(Infinity),
      i: () => (this.inside.isOpen ? this.inside.close() : this.lookAt()),
    };
  }
}
