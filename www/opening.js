// Opening what somebody brings: a scenario, a trace, any file to look into, and a run that begins with it.

import { Sim } from "./tailswap.js";
import { isScenario, isText, isTrace, scenarioAddress } from "./address.js";
import { Branch, setText } from "./branch.js";
import { notOurs, traceWords } from "./words.js";

const find = (id) => document.getElementById(id);

export class Opening {
  // `page` is what the main script has, and can do.
  constructor(page) {
    this.page = page;
    // What of the address stands for the run that is shown, if that comes from a file.
    this.ofRun = undefined;
  }

  // A trace takes the place of all runs. A scenario becomes the address, so that it can be shared, and
  // reloaded. Everything else is a file to look into.
  async open(file) {
    const { own } = this.page;
    if (isTrace(await file.slice(0, 16).text())) return this.openTrace(file);
    if (!(await isScenario(file))) return (await isText(file)) ? own.said(notOurs(file.name)) : own.choose(file);
    const text = await file.text();
    const sim = this.whole(file, () => Sim.ofScenario(text));
    if (!sim) return undefined;
    sim.free();
    history.pushState(null, "", await scenarioAddress(text));
    location.reload();
    return undefined;
  }

  // A file that is not what it begins as is no reason to lose what is shown.
  whole({ name }, read) {
    try {
      return read();
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      return this.page.own.said(`${name}: ${error.message}`);
    }
  }

  // Of several vbuckets the one that was asked for, or the first that was compacted.
  async openTrace(file, vbucket) {
    const { page } = this;
    const bytes = new Uint8Array(await file.arrayBuffer());
    await page.begun();
    const sim = this.whole(file, () => Sim.ofTrace(bytes, vbucket));
    if (!sim) return;
    const { name } = file;
    page.own.said("");
    const branch = this.takeOver(sim, name, `Trace: ${name}`, { trace: name });
    document.body.dataset.run = "opening";
    find("invariants").hidden = true;
    await branch.record();
    page.legend();
    page.showRuns();
    page.jumps.offer(sim.vbuckets, (other) => page.opened(() => this.openTrace(file, other)));
    page.go(branch.marks.find((mark) => mark.name === "start")?.event ?? 0);
    page.notice(traceWords(sim.vbuckets, sim.problem));
    document.body.dataset.run = "complete";
  }

  // The stage, with a run that begins with the file that is shown.
  async runOn() {
    const { page } = this;
    const { own, acting } = page;
    await page.begun();
    // This takes a while: all of the file is read, several times.
    await own.prepares();
    if (!own.isOpen) return;
    const { seed, device, rounds } = page.state.told;
    let sim;
    try {
      sim = own.sim.run(seed, device, rounds);
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      return own.refuse(error.message);
    }
    const { name, address } = own;
    const branch = this.takeOver(sim, `a compaction of ${name}`, `Run: ${name}, ${device}`, address);
    page.state.isAwaited = true;
    document.body.dataset.run = "running";
    page.showRuns();
    const start = { event: null, at: "start" };
    await branch.record(() => page.grow(start));
    page.grow(start);
    acting.begin();
    page.showRuns();
    document.body.dataset.run = "complete";
  }

  // One run in the place of all that there are. The steps of a lesson are moments of another one.
  takeOver(sim, name, summary, address) {
    const { own, lessons, inside, branches, state, acting, add } = this.page;
    lessons.close();
    inside.close();
    own.close();
    for (const other of branches.splice(0)) other.remove();
    const branch = new Branch(sim, name);
    this.page.jumps.offer([]);
    add(branch);
    Object.assign(state, { lead: branch, event: 0, nowNs: 0 });
    acting.begin(false);
    setText(find("run-summary"), summary);
    this.ofRun = address;
    this.say(address);
    return branch;
  }

  // The address says what is shown, though a file is too long for it.
  say(address) {
    const query = `?${new URLSearchParams(address)}`;
    if (location.search !== query) history.pushState(null, "", location.pathname + query);
  }

  // A file is no longer looked into.
  closed() {
    if (this.ofRun) this.say(this.ofRun);
    else this.page.state.share?.forget();
  }

  // After a reload there is only the name of what was shown.
  again({ file, isSample }) {
    if (isSample) return find("sample").click();
    if (!file) return undefined;
    this.page.notice(`“${file}” was shown here. It never left this machine, so the page has to be given it again: choose it under “Files”.`);
    find("files").open = true;
    return find("choose").focus();
  }
}
