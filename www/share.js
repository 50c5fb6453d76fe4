// Handing on what is shown: its link, a picture of it, and files that others can play.

import { picture } from "./picture.js";

// A browser takes some hundred new addresses in half a minute, and nobody reads more.
const ADDRESS_MS = 300;

export class Share {
  // `shown` gives the address, the scenario, the trace and the name of what is shown.
  constructor(root, shown) {
    this.root = root;
    this.shown = shown;
    // As long as nothing changes, the address stays as it was typed.
    this.last = shown.address();
    this.said = root.querySelector("[role=status]");
    const { elements } = root.querySelector("form");
    this.link = elements.link;
    root.querySelector("form").addEventListener("submit", (submitted) => submitted.preventDefault());
    root.addEventListener("toggle", () => {
      if (root.open) this.copy();
    });
    elements.copy.addEventListener("click", () => this.copy());
    elements.picture.addEventListener("click", async () => this.save("png", await picture(shown.title())));
    elements.scenario.addEventListener("click", () => this.save("scenario", shown.scenario()));
    elements.trace.addEventListener("click", () => this.save("trace", shown.trace()));
    this.ofRuns = [this.link.parentElement, elements.copy, elements.scenario, ...root.querySelectorAll(".small")];
  }

  async copy() {
    const isTrace = this.shown.isTrace();
    for (const part of this.ofRuns) part.hidden = isTrace;
    if (isTrace) {
      this.said.textContent = "A trace is too long for a link: hand on its file.";
      return;
    }
    this.link.value = new URL(await this.shown.address(), location.href).href;
    try {
      await navigator.clipboard.writeText(this.link.value);
      this.said.textContent = "Copied: whoever opens this link sees what you see.";
    } catch {
      this.link.select();
      this.said.textContent = "The link of what you see, selected to be copied:";
    }
  }

  save(ending, content) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content]));
    link.download = `tailswap-${this.shown.name()}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    this.said.textContent = `Saved: ${link.download}`;
  }

  // The address bar follows what is shown, soon.
  follow() {
    if (this.shown.isTrace()) return;
    this.timer ??= setTimeout(async () => {
      this.timer = undefined;
      const address = this.shown.isTrace() ? await this.last : await this.shown.address();
      if (address !== (await this.last)) history.replaceState(null, "", address);
      this.last = address;
    }, ADDRESS_MS);
  }
}
