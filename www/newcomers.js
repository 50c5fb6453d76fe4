// For those who see this for the first time: where to begin, and what the words stand for.

import { kept, remember } from "./comfort.js";
import { GLOSSARY } from "./glossary.js";
import { element } from "./inside.js";

const find = (id) => document.getElementById(id);
const WORDS = GLOSSARY.map(([word, others]) => [word, new RegExp(`\\b(${word}${others && `|${others}`})\\b`, "i")]);

// Until it was answered once, whatever the answer, or a lesson was begun.
export function welcome() {
  const answered = () => {
    find("welcome").hidden = true;
    remember("welcome", "no");
  };
  find("welcome").hidden = kept("welcome") === "no" || kept("lessons") !== null;
  find("welcome").addEventListener("click", ({ target }) => {
    if (target.type !== "button") return;
    answered();
    find(target.dataset.opens ?? "stage")[target.dataset.opens ? "click" : "focus"]();
  });
  find("learn").addEventListener("click", answered);
  find("ask-words").addEventListener("click", () => showWords());
}

// All of them, at one if that was asked for.
export function showWords(word) {
  const list = find("words").querySelector("dl");
  if (!list.children.length) {
    for (const [name, , meaning] of GLOSSARY) {
      const term = element("dt", name);
      term.tabIndex = -1;
      list.append(term, element("dd", meaning));
    }
  }
  find("words").showModal();
  const asked = [...list.querySelectorAll("dt")].find((term) => term.textContent === word);
  for (const term of list.querySelectorAll("dt")) term.classList.toggle("asked", term === asked);
  asked?.focus();
}

// Paragraphs in which each word, where it comes first, leads to what it stands for.
export function explained(texts) {
  const left = new Map(WORDS);
  return texts.map((text) => {
    const paragraph = element("p");
    let rest = text;
    for (;;) {
      const found = [...left].map(([word, pattern]) => ({ word, match: pattern.exec(rest) })).filter(({ match }) => match);
      if (found.length === 0) break;
      const { word, match } = found.reduce((first, each) => (each.match.index < first.match.index ? each : first));
      const button = element("button", match[0], "term");
      button.type = "button";
      button.addEventListener("click", () => showWords(word));
      paragraph.append(rest.slice(0, match.index), button);
      rest = rest.slice(match.index + match[0].length);
      left.delete(word);
    }
    paragraph.append(rest);
    return paragraph;
  });
}
