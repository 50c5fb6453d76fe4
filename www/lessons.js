// Lessons: what they say, what they ask, and whether what was tried is what they want. Each is a file of
// `lessons`; see README.md there.

import LESSONS from "./lesson-files.js";
import { setText } from "./branch.js";
import { explained } from "./newcomers.js";

const KEPT = "tailswap.lessons";

export class Lessons {
  // `page` can show a moment of the run (`show`), tell its numbers (`measure`), and open an address (`open`).
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.lesson = undefined;
    this.kept = read();
    root.addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      const chosen = root.querySelector("[name=answer]:checked");
      if (chosen) this.answer(Number(chosen.value));
    });
  }

  // The run of a lesson that is named in the address; nothing where there is no such lesson.
  static run(id) {
    return id ? LESSONS.find((each) => each.id === id)?.run : {};
  }

  get isOpen() {
    return !this.root.hidden;
  }

  list() {
    this.lesson = undefined;
    const items = LESSONS.map((lesson) => {
      const { step = 0, isDone } = this.kept[lesson.id] ?? {};
      const begun = step > 0 ? `step ${step + 1} of ${lesson.steps.length}` : "";
      const item = element("li", "", [
        button(lesson.title, () => this.page.open({ lesson: lesson.id, ...lesson.run })),
        element("p", lesson.about),
      ]);
      if (isDone || begun) item.append(element("p", isDone ? "✓ done" : begun, [], "state"));
      return item;
    });
    this.fill("Lessons", [element("ol", "", items)]);
  }

  // Goes on where the lesson was left.
  async begin(id) {
    this.lesson = LESSONS.find((lesson) => lesson.id === id);
    await this.go(Math.min(this.kept[id]?.step ?? 0, this.lesson.steps.length - 1));
  }

  close() {
    this.root.hidden = true;
    this.lesson = undefined;
    delete document.body.dataset.lesson;
  }

  get step() {
    return this.lesson?.steps[this.kept[this.lesson.id]?.step ?? 0];
  }

  keep(what) {
    const { id } = this.lesson;
    this.kept[id] = { ...this.kept[id], ...what };
    try {
      localStorage.setItem(KEPT, JSON.stringify(this.kept));
    } catch {
      // Then it is forgotten with the page.
    }
  }

  async go(step) {
    this.keep({ step });
    const { at, zoom, say, ask, task } = this.step;
    await this.page.show({ at, zoom });
    this.fill(this.lesson.title, [
      element("p", `Step ${step + 1} of ${this.lesson.steps.length}`, [], "state"),
      ...explained(say.map((text) => this.filled(text))),
      ...(ask ? [question(this.filled(ask.question), ask.answers)] : []),
      ...(task ? taskOf(this.filled(task.ask), task.hint) : []),
      element("div", "", [], "told"),
      this.onward(step),
    ]);
    this.told = this.root.querySelector(".told");
    this.told.role = "status";
    this.next.disabled = Boolean(ask || task);
    if (this.passed.includes(step)) await this.showPassed(step, ask ?? task);
  }

  // With the numbers of the run in the place of their names.
  filled(text) {
    return text.replaceAll(/{(\w+)}/g, (_, name) => Number(this.page.measure(name).toFixed(1)));
  }

  // Steps whose question was answered, or whose task was done, since the lesson was begun.
  get passed() {
    return this.kept[this.lesson?.id]?.passed ?? [];
  }

  // Whoever comes back to such a step is not asked again.
  async showPassed(step, { answers, done }) {
    if (done) {
      this.tell("right", ["✓ You have done that.", ...done]);
      this.next.disabled = false;
      return;
    }
    const right = answers.findIndex((answer) => answer.right);
    this.root.querySelector(`[name=answer][value="${right}"]`).checked = true;
    await this.answer(right);
  }

  onward(step) {
    const isLast = step === this.lesson.steps.length - 1;
    this.next = button(isLast ? "All lessons" : "Next", () => (isLast ? this.end() : this.go(step + 1)));
    this.next.className = "next";
    const back = button("Back", () => (step === 0 ? this.list() : this.go(step - 1)));
    return element("div", "", [back, this.next], "row");
  }

  // Whoever comes back begins with its first step.
  end() {
    this.keep({ step: 0, passed: [] });
    this.list();
  }

  async answer(index) {
    const { ask, reveal } = this.step;
    const answer = ask.answers[index];
    this.tell(answer.right ? "right" : "wrong", [answer.feedback]);
    if (!answer.right) return;
    this.root.querySelector("fieldset").disabled = true;
    await this.page.show(reveal);
    this.tell("right", [answer.feedback, ...reveal.say.map((text) => this.filled(text))]);
    this.pass();
  }

  // A branch came to its end.
  tried(branch) {
    const task = this.step?.task;
    if (!task) return;
    if (!branch.sim.meets(task.goal)) return this.tell("wrong", [task.missed]);
    this.tell("right", ["✓ That is it.", ...task.done]);
    this.keep({ isDone: true });
    this.pass();
  }

  pass() {
    const { step } = this.kept[this.lesson.id];
    this.keep({ passed: [...new Set([...this.passed, step])] });
    this.next.disabled = false;
    this.next.focus({ preventScroll: true });
  }

  tell(kind, texts) {
    this.told.className = `told ${kind}`;
    this.told.replaceChildren(...texts.map((text) => element("p", text)));
    this.told.scrollIntoView({ block: "nearest" });
  }

  fill(title, content) {
    const heading = element("h2", title);
    heading.tabIndex = -1;
    const close = button("Close", () => this.page.close());
    this.root.replaceChildren(element("div", "", [heading, close], "row"), element("form", "", content));
    this.root.hidden = false;
    document.body.dataset.lesson = this.lesson?.id ?? "list";
    heading.focus({ preventScroll: true });
    this.root.scrollTop = 0;
  }
}

function question(asked, answers) {
  const choices = answers.map(({ text }, index) => {
    const input = element("input");
    // Nothing is expected of nobody: the browser asks for one.
    Object.assign(input, { type: "radio", name: "answer", value: index, required: true });
    const label = element("label", "", [input, text]);
    return label;
  });
  const submit = element("button", "That is what I expect");
  return element("fieldset", "", [element("legend", asked), ...choices, submit]);
}

function taskOf(ask, hint) {
  const help = element("details", "", [element("summary", "A hint"), element("p", hint)]);
  return [element("p", ask, [], "task"), element("p", "Go to a moment, and make a branch there, by “Act” or “Break”, or with another device or policy under “Run”. What comes of it is compared with what is asked."), help];
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function button(text, pressed) {
  const made = element("button", text);
  made.type = "button";
  made.addEventListener("click", pressed);
  return made;
}

function element(tag, text = "", content = [], name = "") {
  const made = document.createElement(tag);
  if (text) setText(made, text);
  made.append(...content);
  if (name) made.className = name;
  return made;
}
