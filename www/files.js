// Files that are handed over: dropped on the page, and saved from it.

import { bytes } from "./words.js";

// Hands bytes over as a file.
export function save(name, content) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content]));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Files that are dropped anywhere on the page.
export function onDrop(chosen) {
  const over = (is) => document.body.toggleAttribute("data-over", is);
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || over(false));
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file) chosen(file);
  });
}

// Files of a run, to be saved as they are right after an event.
export function listSaves(list, sim, event) {
  const files = sim?.moment(event, 0).files.filter((file) => file.role !== "gone") ?? [];
  list.replaceChildren(...files.map((file) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Save ${file.name} (${bytes(file.length)})`;
    button.addEventListener("click", () => save(file.name, sim.written(file.index, event)));
    return button;
  }));
}
