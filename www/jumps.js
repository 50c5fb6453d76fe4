// What a run is divided by: buttons that lead there, ticks on the scrubber, and of a long trace which
// compaction, of which vbucket.

import { element } from "./inside.js";
import { markName } from "./words.js";

const find = (id) => document.getElementById(id);
// More marks than these are told by compaction, one at a time; and more ticks could not be told apart.
const [MANY, TICKS] = [24, 200];
const isStart = ({ name }) => name === "start";

export class Jumps {
  constructor(go) {
    this.go = go;
    [this.chips, this.list, this.number] = [find("chips"), find("folded").querySelector("select"), find("of-compaction").querySelector("input")];
    this.list.addEventListener("change", () => go(Number(this.list.value)));
    this.number.addEventListener("input", () => (this.isTyped = true));
    this.number.addEventListener("change", () => {
      this.isTyped = false;
      this.number.value = Math.max(1, Math.min(this.parts.length, Math.floor(this.number.value)));
      go(this.parts[this.number.value - 1].find(isStart).event);
    });
  }

  // Of another run, or of more of it.
  show({ marks }) {
    const named = marks.filter((mark) => markName(mark.name));
    const starts = named.filter(isStart);
    const isLong = starts.length > 1 && named.length > MANY;
    this.parts = [[]];
    for (const mark of named) {
      if (isLong && isStart(mark) && mark !== starts[0]) this.parts.push([]);
      this.parts.at(-1).push(mark);
    }
    const ticks = isLong ? starts : named;
    const every = Math.ceil(ticks.length / TICKS);
    find("marks").replaceChildren(...ticks.filter((_, index) => index % every === 0).map((mark) => new Option(markName(mark.name), mark.event)));
    find("of-compaction").hidden = !isLong;
    this.number.max = this.parts.length;
    find("of-compaction").querySelector("span").textContent = `of ${this.parts.length}`;
    this.part = undefined;
  }

  // What is shown now is told apart from the others.
  follow(event) {
    const part = this.parts.findLast(([first]) => first?.event <= event) ?? this.parts[0];
    if (part !== this.part) this.fill(part);
    const current = part.findLastIndex((mark) => mark.event <= event);
    if (this.list.selectedIndex !== current) this.list.selectedIndex = current;
    [...this.chips.children].forEach((button, index) => {
      const isCurrent = String(index === current);
      if (button.ariaCurrent !== isCurrent) button.ariaCurrent = isCurrent;
    });
  }

  fill(part) {
    this.part = part;
    if (!this.isTyped) this.number.value = this.parts.indexOf(part) + 1;
    this.list.replaceChildren(...part.map(({ name, event }) => new Option(markName(name), event)));
    this.chips.replaceChildren(...(part.length > MANY ? [] : part).map(({ name, event }) => {
      const button = element("button", markName(name));
      button.type = "button";
      button.addEventListener("click", () => this.go(event));
      return button;
    }));
    this.fold();
  }

  // What does not fit into one line is chosen from a list.
  fold() {
    find("jumps").classList.remove("narrow");
    const { length } = this.list;
    find("jumps").classList.toggle("narrow", length > MANY || this.chips.scrollWidth > this.chips.clientWidth);
  }

  // Of these vbuckets, the shown one first, `choose` shows another.
  offer(vbuckets, choose) {
    find("of-vbucket").hidden = vbuckets.length < 2;
    const [shown] = vbuckets;
    const options = [...vbuckets].sort((one, other) => one - other).map((each) => new Option(each, each, false, each === shown));
    const select = find("of-vbucket").querySelector("select");
    select.replaceChildren(...options);
    // One at a time: until the other one is there, nothing else can be chosen.
    select.onchange = () => {
      select.disabled = true;
      choose(Number(select.value));
    };
    if (!select.disabled || vbuckets.length < 2) return;
    select.disabled = false;
    select.focus();
  }
}
