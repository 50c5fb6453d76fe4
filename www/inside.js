// Looking inside a file: what lies at a byte, field by field, who wrote it and what points at it.

import { setText } from "./branch.js";
import { milliseconds } from "./words.js";

// Bytes and fields that are listed at most; a node can have thousands of fields.
const [BYTES, FIELDS] = [1024, 300];
const ROW = 8;

export class Inside {
  // `go` takes the page to an event, `redraw` draws it again, `flip` makes a branch with a bit flipped.
  constructor(root, { go, redraw, flip }) {
    this.root = root;
    this.redraw = redraw;
    this.place = undefined;
    this.seen = {};
    this.prefersInflated = true;
    const find = (name) => root.querySelector(`.${name}`);
    Object.assign(this, {
      heading: root.querySelector("h2"), where: find("where"), written: find("written"), fate: find("fate"),
      damage: find("damage"), pointing: find("pointing"), fields: find("fields"), hex: find("hex"), tree: find("tree"),
      inflated: find("inflated"), flip: find("flip"), document: find("document"),
    });
    this.flip.addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      const { byte, bit } = this.flip.elements;
      const name = this.moment.files.find((file) => file.index === this.place.file)?.name;
      flip(this.place.branch, this.moment.event, `${name} ${byte.value} ${bit.value}`);
    });
    this.hex.addEventListener("click", (click) => this.pick(click));
    find("close").addEventListener("click", () => this.close());
    find("before").addEventListener("click", () => this.move(this.look.start - 1));
    find("behind").addEventListener("click", () => this.move(this.look.end));
    find("newest").addEventListener("click", () => this.move(this.newestHeader()));
    this.written.querySelector("button").addEventListener("click", () => go(this.place.branch, this.inspected.written));
    root.querySelectorAll('[name="bytes"]').forEach((input) => input.addEventListener("change", () => {
      this.prefersInflated = input.value === "inside";
      this.list();
    }));
    this.tree.addEventListener("toggle", () => this.listTree());
    // A field and its bytes are framed together.
    for (const event of ["pointerover", "focusin"]) root.addEventListener(event, (on) => this.frame(on.target));
  }

  get isOpen() {
    return this.place !== undefined;
  }

  // At a byte of a file of a run, or at the newest header of the file in charge.
  open(branch, moment, file, byte) {
    const wasOpen = this.isOpen;
    if (wasOpen) this.place.branch.selection = undefined;
    const inCharge = moment.files.find((each) => each.role === "in_charge");
    this.place = { branch, file: file ?? inCharge?.index ?? 0, byte: byte ?? inCharge?.newest ?? 0 };
    this.show(moment);
    if (wasOpen) return;
    this.heading.focus({ preventScroll: true });
    // On a narrow screen it stands below the stage.
    this.root.scrollIntoView({ block: "nearest" });
  }

  close() {
    if (!this.isOpen) return;
    this.place.branch.selection = undefined;
    this.place = undefined;
    this.root.hidden = true;
    document.getElementById("story").hidden = false;
    const opener = document.querySelector('[data-view="file"] #own .look') ?? document.getElementById("look");
    opener.focus({ preventScroll: true });
    this.redraw();
  }

  move(byte) {
    this.open(this.place.branch, this.moment, this.place.file, Math.max(0, byte));
  }

  // The same place in a branch.
  follow(branch) {
    this.place.branch.selection = undefined;
    this.place.branch = branch;
  }

  focusFlip() {
    this.flip.scrollIntoView({ block: "nearest" });
    this.flip.elements.byte.focus({ preventScroll: true });
  }

  // The byte that was clicked, by its place in the row's text.
  pick({ target, clientX, clientY }) {
    const row = target.closest(".hex > div");
    const at = document.caretPositionFromPoint?.(clientX, clientY) ?? document.caretRangeFromPoint?.(clientX, clientY);
    const node = at?.offsetNode ?? at?.startContainer;
    if (!row?.contains(node) || this.isInflated()) return;
    const before = document.createRange();
    before.setStart(row.firstChild, row.firstChild.childNodes.length);
    before.setEnd(node, at.offset ?? at.startOffset);
    const column = Math.floor(before.toString().length / 3);
    this.flip.elements.byte.value = Number(row.firstChild.textContent) + Math.min(column, ROW - 1);
  }

  isInflated() {
    return this.root.querySelector('[name="bytes"]:checked').value === "inside";
  }

  newestHeader() {
    return this.moment.files.find((file) => file.index === this.place.file)?.newest ?? 0;
  }

  // What lies there at another moment. While time runs nobody could read it.
  show(moment) {
    if (!this.isOpen) return;
    this.moment = moment;
    const { branch, file, byte } = this.place;
    const key = { branch, file, byte, event: moment.event };
    if (Object.keys(key).every((part) => key[part] === this.seen[part]) && !this.root.hidden) return;
    this.seen = key;
    this.root.hidden = false;
    document.getElementById("story").hidden = true;
    try {
      this.inspected = branch.sim.inspect(file, byte, moment.event);
      this.look = this.inspected.look;
    } catch (error) {
      rethrowPanic(error);
      this.inspected = undefined;
      this.look = { start: byte, end: byte + 1, what: error.message, fields: [], inside: [], pointedAtBy: [] };
    }
    branch.selection = { file, start: this.look.start, end: this.look.end };
    this.tell();
    this.list();
    this.listTree();
    this.redraw();
  }

  tell() {
    const { inspected, look } = this;
    const document = look.document ? `: ${look.document}` : "";
    setText(this.heading, look.what[0].toUpperCase() + look.what.slice(1) + document);
    const length = look.end - look.start;
    setText(this.where, inspected ? `${inspected.file}, bytes ${look.start} to ${look.end - 1} (${length})` : "");
    this.written.hidden = !inspected;
    // Only a run can go on otherwise.
    this.flip.hidden = !inspected || !this.place.branch.fork;
    this.flip.elements.byte.value = look.start;
    Object.assign(this.flip.elements.byte, { min: look.start, max: look.end - 1 });
    this.document.hidden = true;
    setText(this.damage, look.damage ?? "");
    if (inspected) {
      // Of files from elsewhere nobody saw who wrote them: all that is known is with which header it came.
      const [by, at, synced] = inspected.writtenBy
        ? [`Written by the ${inspected.writtenBy} at ${milliseconds(inspected.writtenNs)} `, `event ${inspected.written}`, inspected.isDurable ? "Synced." : "Not synced: a crash can take it."]
        : ["Appended before ", `header ${inspected.written + 1}`, ""];
      setText(this.written.firstChild, by);
      setText(this.written.querySelector("button"), at);
      setText(this.fate, `${this.life()} ${synced}`);
    } else setText(this.fate, "");
    this.pointing.replaceChildren(...look.pointedAtBy.map((from) => {
      const item = element("li", "pointed at by ");
      item.append(this.pointer(from.what, from.position));
      return item;
    }));
    // Of a node what it says is inside of it.
    const hasInside = look.inside.length > 0;
    this.inflated.parentElement.hidden = !hasInside;
    this.root.querySelector(hasInside && this.prefersInflated ? '[value="inside"]' : '[value="disk"]').checked = true;
  }

  life() {
    const { what, start } = this.look;
    const { deadSince } = this.inspected;
    if (what === "header") {
      return start === this.newestHeader() ? "The newest state." : "Another state: older, or not committed yet.";
    }
    if (this.look.fields.length === 0) return "";
    if (deadSince !== undefined && deadSince !== null) {
      const since = this.inspected.writtenBy ? `event ${deadSince}` : `header ${deadSince + 1}`;
      return `Dead since ${since}: no newest header reaches it.`;
    }
    return this.look.pointedAtBy.length > 0 ? "Live: the newest header reaches it." : "New: the next header will reach it.";
  }

  // Fields and bytes, as they lie in the file or as they are once they are inflated.
  list() {
    const { look, place } = this;
    const isInside = this.isInflated();
    const event = this.moment.event;
    const all = isInside ? look.inside : look.fields;
    const start = isInside ? 0 : look.start;
    let content = new Uint8Array();
    if (this.inspected) {
      const { sim } = place.branch;
      content = isInside
        ? sim.inside(place.file, event, look.start).subarray(0, BYTES)
        : sim.bytes(place.file, event, look.start, Math.min(look.end, look.start + BYTES));
    }
    this.listFields(all);
    this.hex.replaceChildren(...rows(content, start, all));
    const length = isInside ? all.at(-1)?.end ?? 0 : look.end - look.start;
    if (this.inspected && length > content.length) this.hex.append(`… ${length - content.length} more`);
  }

  listFields(all) {
    let partOf = "";
    const items = [];
    all.slice(0, FIELDS).forEach((field, index) => {
      if (field.partOf !== partOf) {
        partOf = field.partOf;
        if (partOf) items.push(element("li", partOf, "part"));
      }
      const item = element("li");
      item.dataset.field = index;
      const value = this.value(field);
      item.append(element("span", field.name), value);
      items.push(item);
    });
    if (all.length > FIELDS) items.push(element("li", `… ${all.length - FIELDS} more fields`, "part"));
    this.fields.replaceChildren(...items);
  }

  // A pointer leads there, and a document's sequence number to both of its entries and its body.
  value(field) {
    if (field.pointsAt !== undefined && field.pointsAt !== null) return this.pointer(field.value, field.pointsAt);
    if (field.name !== "sequence number" || !field.partOf.startsWith("entry")) return element("span", field.value);
    const button = element("button", field.value);
    button.type = "button";
    button.title = "The document: both entries and its body";
    button.addEventListener("click", () => this.tellDocument(Number(field.value)));
    return button;
  }

  tellDocument(seq) {
    const { branch, file } = this.place;
    const places = branch.sim.documentPlaces(file, this.moment.event, seq);
    if (!places) return;
    const parts = [["by-id entry", places.byId.at(-1)], ["by-seq entry", places.bySeq.at(-1)], ["body", places.body]];
    const known = parts.filter(([, position]) => position !== undefined && position !== null);
    this.document.hidden = false;
    this.document.replaceChildren(element("b", `Document ${places.id}`), ...known.map(([name, position]) => this.pointer(`${name} at ${position}`, position)));
    this.tree.open = true;
    this.markPath([...places.byId, ...places.bySeq]);
    this.document.scrollIntoView({ block: "nearest" });
    this.document.querySelector("button")?.focus({ preventScroll: true });
  }

  markPath(path) {
    for (const button of this.tree.querySelectorAll("[data-position]")) {
      button.classList.toggle("path", path.includes(Number(button.dataset.position)));
    }
  }

  pointer(text, position) {
    const button = element("button", text);
    button.type = "button";
    button.addEventListener("click", () => this.move(position));
    return button;
  }

  frame(target) {
    const field = target.closest?.("[data-field]")?.dataset.field;
    for (const framed of this.root.querySelectorAll(".framed")) framed.classList.remove("framed");
    if (field === undefined) return;
    for (const framed of this.root.querySelectorAll(`[data-field="${field}"]`)) framed.classList.add("framed");
  }

  // The trees of the newest header, a row for each level.
  listTree() {
    if (!this.tree.open || !this.isOpen) return;
    const { branch, file } = this.place;
    let found = { nodes: [], count: 0 };
    try {
      found = branch.sim.tree(file, this.moment.event);
    } catch (error) {
      rethrowPanic(error);
      setText(this.damage, error.message);
    }
    const trees = new Map();
    for (const node of found.nodes) {
      const levels = trees.get(node.tree) ?? trees.set(node.tree, []).get(node.tree);
      (levels[node.depth] ??= []).push(node);
    }
    const drawn = [...trees].map(([name, levels]) => {
      const tree = element("div", "", "levels");
      tree.role = "group";
      tree.ariaLabel = `${name} tree`;
      tree.append(element("b", name), ...levels.map((level) => {
        const row = element("div");
        row.append(...level.map((node) => {
          const button = this.pointer(String(node.entries), node.position);
          const kind = node.isLeaf ? "leaf" : "interior node";
          button.ariaLabel = button.title = `${kind} at ${node.position}, ${node.entries} entries`;
          button.dataset.position = node.position;
          if (node.position === this.look.start) button.ariaCurrent = "true";
          return button;
        }));
        return row;
      }));
      return tree;
    });
    const told = element("p", "Each number is a node, with so many entries; below it what it points at.");
    const missing = found.count - found.nodes.length;
    const more = missing > 0 ? [element("p", `… ${missing} more nodes`)] : [];
    this.tree.replaceChildren(this.tree.firstElementChild, told, ...drawn, ...more);
    if (drawn.length > 0) this.markPath([...branch.sim.path(file, this.moment.event, this.look.start)]);
  }
}

// After a panic nothing of the engine may be called any more.
function rethrowPanic(error) {
  if (error instanceof WebAssembly.RuntimeError) throw error;
}

export function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (name) made.className = name;
  return made;
}

// Rows of hexadecimal and text, each stretch of a row that belongs to one field by itself.
function rows(content, start, fields) {
  const made = [];
  let field = 0;
  for (let from = 0; from < content.length; from += ROW) {
    const row = element("div");
    row.append(element("span", (start + from).toString().padStart(7), "at"));
    let text = "";
    let stretch;
    for (let at = from; at < Math.min(from + ROW, content.length); at += 1) {
      while (field < fields.length && fields[field].end <= start + at) field += 1;
      if (stretch?.dataset.field !== String(field)) {
        stretch = element("span");
        stretch.dataset.field = field;
        row.append(stretch);
      }
      stretch.textContent += ` ${content[at].toString(16).padStart(2, "0")}`;
      text += content[at] >= 32 && content[at] < 127 ? String.fromCharCode(content[at]) : "·";
    }
    const missing = Math.max(0, from + ROW - content.length);
    row.append(" ".repeat(missing * 3), `  ${text}`);
    made.push(row);
  }
  return made;
}
