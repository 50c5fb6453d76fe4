// What makes the page usable for more people and in more rooms: help, keys that can be turned off, a mode
// for projectors, and what happens in words for those who do not see it.

import { setText } from "./branch.js";

const find = (id) => document.getElementById(id);
// Spoken are at most so many milliseconds apart, and nothing that rushes by.
const PAUSE_MS = 1000;
const SPOKEN_SPEED = 4;

export class Comfort {
  // `changed` is called when sizes are other than they were.
  constructor(changed) {
    this.changed = changed;
    this.said = { at: 0, event: 0, waiting: undefined };
    find("ask-help").addEventListener("click", () => this.help());
    find("projector").addEventListener("change", () => this.apply());
    find("has-keys").addEventListener("change", () => remember("keys", find("has-keys").checked));
    find("has-keys").checked = kept("keys") !== "false";
    find("projector").checked = kept("projector") === "true";
    // On a narrow screen what there is to choose from is asked for, and goes again with the choice.
    const show = (isShown, button = "menu") => find(button).setAttribute("aria-expanded", String(isShown));
    for (const button of ["menu", "how"]) find(button).addEventListener("click", () => show(find(button).ariaExpanded !== "true", button));
    for (const tool of ["learn", "look", "ask-words", "ask-help"]) find(tool).addEventListener("click", () => show(false));
    find("stage").addEventListener("focus", () => show(false));
    this.apply();
  }

  get hasKeys() {
    return find("has-keys").checked && !document.querySelector("dialog[open]");
  }

  get isProjector() {
    return find("projector").checked;
  }

  help() {
    find("help").showModal();
  }

  switchProjector() {
    find("projector").checked = !find("projector").checked;
    this.apply();
  }

  apply() {
    remember("projector", this.isProjector);
    document.documentElement.classList.toggle("projector", this.isProjector);
    this.changed();
  }

  // Says the last event, and how many there were since; what comes too soon waits for the next.
  say(event, line, isPlaying, speed) {
    clearTimeout(this.said.waiting);
    if (event === this.said.event || (isPlaying && speed > SPOKEN_SPEED)) return;
    const now = () => {
      const passed = Math.abs(event - this.said.event);
      setText(find("spoken"), passed > 1 ? `${passed} events, then: ${line}` : line);
      this.said = { at: performance.now(), event, waiting: undefined };
    };
    this.said.waiting = setTimeout(now, Math.max(0, this.said.at + PAUSE_MS - performance.now()));
  }
}

// What this browser was told of a person's wishes, by name.
export function remember(name, value) {
  try {
    localStorage.setItem(`tailswap.${name}`, value);
  } catch {
    // Then it is so until the page is left.
  }
}

export function kept(name) {
  try {
    return localStorage.getItem(`tailswap.${name}`);
  } catch {
    return null;
  }
}
