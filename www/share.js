// Handing on what is shown: its link, a picture of it, and files that others can play.

import { save } from "./files.js";
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
    const isRepeatable = this.shown.isRepeatable();
    for (const part of this.ofRuns) part.hidden = !isRepeatable;
    if (!isRepeatable) {
      this.said.textContent = "This comes from a file, which is too long for a link: hand that on.";
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
    const name = `tailswap-${this.shown.name()}.${ending}`;
    save(name, content);
    this.said.textContent = `Saved: ${name}`;
  }

  // The address is that of something else.
  forget() {
    this.last = undefined;
  }

  // The address bar follows what is shown, soon.
  follow() {
    if (!this.shown.isRepeatable()) return;
    this.timer ??= setTimeout(async () => {
      this.timer = undefined;
      const address = this.shown.isRepeatable() ? await this.shown.address() : await this.last;
      if (address !== (await this.last)) history.replaceState(null, "", address);
      this.last = address;
    }, ADDRESS_MS);
  }
}
