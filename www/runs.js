// Runs beside each other: those that the page begins with, and their branches; their names, and the list of them.

import { setText } from "./branch.js";

// What a branch can do otherwise, in the words of its name.
const DIFFERENCES = {
  rounds: "the other way to catch up",
  nvme: "on NVMe", sata: "on SATA", network: "on a network disk", disk: "on a turning disk",
  "power-nothing": "power loss, only what was synced survives",
  "power-everything": "power loss, all that was written survives",
  "power-some": "power loss, some of what was not synced survives",
  "failed-sync": "the next sync fails",
  "disk-full": "the disk is full for a while",
  burst: "a burst of 300 documents", hot: "300 changes of one document",
  rollback: "rolled back by 40 changes",
  "act queue mine=@1600": "a document added", "act queue -doc-0000 -doc-0001 -doc-0002": "three documents deleted",
  "act read yours": "a snapshot opened", "act close yours": "the snapshot closed",
  "act begin compact": "a compaction begun", "act cancel": "the compaction cancelled",
  "act begin drop": "the vbucket dropped", "act create": "the vbucket created",
  "act die": "the process dies", "act fail write 1 after 512": "a torn write",
};

export function differenceName(difference) {
  const [, kept] = /^act crash keep ?(.*)$/.exec(difference) ?? [];
  if (kept !== undefined) return `power loss, ${kept ? `of what was not synced ${kept} survives` : DIFFERENCES["power-nothing"].slice(12)}`;
  const [, file, byte, bit] = /^act flip (.+) (.+) (.+)$/.exec(difference) ?? [];
  if (file) return `bit ${bit} of byte ${byte} of ${file} flips`;
  return DIFFERENCES[difference] ?? difference.replace(/^act /, "");
}

// What the page begins with beside its run, if they are to be compared.
export function compared(own) {
  const rounds = own.rounds === "many" ? "one" : "many";
  const device = own.device === "nvme" ? "sata" : "network";
  if (own.compare === "rounds") return [{ ...own, rounds }];
  if (own.compare === "device") return [{ ...own, device }];
  return [];
}

export function title(own, isCompared) {
  if (own.scenario) return "the scenario";
  const rounds = own.rounds === "many" ? "rounds until the tail is short" : "one round, then the lock";
  return isCompared ? `${own.device}: ${rounds}` : "the run itself";
}

// Of several runs each can be followed by the clock and the story, hidden, and, if it is a branch, removed.
export function listRuns(branches, lead, { follow, toggle, remove }) {
  const list = document.getElementById("runs");
  list.hidden = branches.length < 2;
  // The focus stays where it is, though everything is made anew.
  const focused = list.querySelector("input:focus");
  const row = [...list.children].indexOf(focused?.closest("li"));
  list.replaceChildren(...branches.map((branch) => {
    const item = document.createElement("li");
    item.append(
      labelled("radio", branch.name, branch === lead, () => follow(branch)),
      labelled("checkbox", "show", branch.isShown, () => toggle(branch)),
    );
    if (branch.parent) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "✕";
      button.ariaLabel = `Remove: ${branch.name}`;
      button.addEventListener("click", () => remove(branch));
      item.append(button);
    }
    branch.root.hidden = !branch.isShown;
    setText(branch.heading, branches.length > 1 ? branch.name : "");
    branch.heading.title = branch.name;
    return item;
  }));
  const { type } = focused ?? {};
  const again = type === "radio" ? list.querySelector("[type=radio]:checked") : list.children[row]?.querySelector("[type=checkbox]");
  if (focused) again?.focus();
}

function labelled(type, text, isChecked, changed) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type, checked: isChecked, name: type === "radio" ? "lead" : "" });
  input.addEventListener("change", changed);
  label.append(input, text);
  return label;
}
