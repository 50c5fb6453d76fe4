// Acting: what a person does to the run at the moment that is shown, each time in a branch of its own.

import { setText } from "./branch.js";
import { milliseconds } from "./words.js";

const find = (id) => document.getElementById(id);
const DEVICES = { nvme: "NVMe", sata: "SATA", network: "network", disk: "turning disk" };

// `act` makes a branch, `losable` says what a loss of power could take now, `pick` opens the bytes of the
// file, to flip one.
export class Acting {
  constructor({ act, losable, pick }) {
    this.losable = losable;
    this.menus = ["act", "break", "settings"].map(find);
    this.dialog = find("loss");
    this.act = (difference, line) => {
      for (const menu of this.menus) menu.open = false;
      find("stage").focus({ preventScroll: true });
      act(difference, line);
    };
    for (const menu of this.menus) {
      menu.addEventListener("click", ({ target }) => {
        const deed = target.dataset.chosen ? menu.querySelector(`[name="${target.dataset.chosen}"]`).value : target.dataset.do;
        if (deed && target.ariaDisabled !== "true") this.act(deed);
      });
      // Two menus at a time would lie on each other.
      menu.addEventListener("toggle", ({ target }) => {
        if (target === menu && menu.open) for (const other of this.menus) other.open = other === menu;
      });
    }
    find("act").querySelector("form").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      const { line } = submitted.target.elements;
      if (line.value.trim()) this.act(`act ${line.value.trim()}`, line);
    });
    find("flip").addEventListener("click", () => {
      find("break").open = false;
      pick();
    });
    find("lose").addEventListener("click", () => this.ask());
    this.dialog.addEventListener("input", ({ target }) => this.choose(target));
    this.dialog.addEventListener("close", () => {
      if (this.dialog.returnValue === "lose") this.act(`act crash ${this.survivors()}`.trim());
    });
  }

  // Once there is a run.
  begin(isThere = true) {
    find("act").hidden = find("break").hidden = !isThere;
  }

  say(words) {
    setText(find("act").querySelector("summary"), words ?? "Act");
  }

  // What is impossible stays where it is and says why.
  show(choices, own) {
    const why = Object.fromEntries(choices.impossible);
    for (const button of document.querySelectorAll("[data-needs]")) {
      const reason = why[button.dataset.needs];
      button.ariaDisabled = String(Boolean(reason));
      button.title = reason ? `Not now: ${reason}` : "";
    }
    const [workload, device, policy] = find("settings").querySelectorAll("form details > summary");
    setText(workload, `Workload: seed ${own.seed}, values of ${own.value || 1600} bytes`);
    setText(device, `Device: ${DEVICES[choices.device]}, sync ${milliseconds(choices.syncNs, 0)}`);
    setText(policy, `Policy: ${choices.isCatchingUpOnce ? "one round, then the lock" : "rounds until the tail is short"}`);
  }

  ask() {
    const list = this.dialog.querySelector("ul");
    const changes = this.losable();
    list.replaceChildren(...changes.map((change, index) => row(change, index + 1)));
    if (changes.length === 0) list.append("All that was written is synced, so there is nothing to lose.");
    const [nothing] = this.dialog.querySelectorAll("[name=survives]");
    nothing.checked = true;
    find("break").open = false;
    this.dialog.returnValue = "";
    this.dialog.showModal();
  }

  // What is ticked follows what is chosen above it, and the other way round.
  choose(target) {
    const { survives } = this.dialog.querySelector("form").elements;
    if (target.closest("li")) survives.value = "some";
    if (target.name === "seed") survives.value = "seed";
    const { value } = survives;
    if (value !== "some") for (const box of this.dialog.querySelectorAll("li [type=checkbox]")) box.checked = value === "all";
    if (value === "all") for (const sectors of this.dialog.querySelectorAll("li [type=number]")) sectors.value = sectors.max;
  }

  survivors() {
    const { survives, seed } = this.dialog.querySelector("form").elements;
    return survives.value === "seed" ? Number(seed.value) || 1 : `keep ${this.kept().join(" ")}`;
  }

  // A line that is none is no reason to lose the run.
  refuse(line, why) {
    find("act").open = true;
    line.setCustomValidity(why);
    line.reportValidity();
    line.addEventListener("input", () => line.setCustomValidity(""), { once: true });
  }

  // In the words of a scenario's line: which changes, and of a write how many sectors.
  kept() {
    return [...this.dialog.querySelectorAll("li")].filter((item) => item.querySelector("[type=checkbox]").checked).map((item) => {
      const sectors = item.querySelector("[type=number]");
      return sectors && sectors.value !== sectors.max ? `${item.value}:${Number(sectors.value)}` : item.value;
    });
  }
}

function row(change, number) {
  const item = document.createElement("li");
  item.value = number;
  const box = document.createElement("input");
  box.type = "checkbox";
  const label = document.createElement("label");
  const what = change.what.replace(/ for file \d+$/, "") || `${change.end - change.start} byte${change.end - change.start === 1 ? "" : "s"}`;
  const where = change.sectors ? `${change.file}, bytes ${change.start} to ${change.end - 1}: ` : `${change.file || "directory"}: `;
  label.append(box, ` ${where}${what}${change.isDropped ? " (a sync of it failed)" : ""}`);
  item.append(label);
  if (change.sectors > 1) {
    const torn = document.createElement("label");
    const sectors = document.createElement("input");
    Object.assign(sectors, { type: "number", min: 0, max: change.sectors, value: change.sectors });
    sectors.addEventListener("input", () => (box.checked = true));
    torn.append("of it the first ", sectors, ` of ${change.sectors} sectors`);
    item.append(torn);
  }
  return item;
}
