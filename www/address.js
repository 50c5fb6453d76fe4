// The address of what is shown: what the runs are made of, where branches left them, and the moment.

// Of what is written here; a page that knows only less says so.
const FORMAT = 1;
// Characters from which on an address is compressed, into the part of it that no server is told.
const LONG = 700;
const PACKED = "#z=";
export const USUAL = { seed: "1", device: "nvme", rounds: "many", value: "0", actions: "0", compare: "", zoom: "compaction", scenario: "", lesson: "" };

// What an address says; what it does not is that of its lesson's run, and what of it cannot be read is told
// in `wrong`. A fork without a parent leaves the run that is followed at the moment shown.
export async function readAddress({ search, hash }, runOf = () => ({})) {
  const wrong = [];
  const text = hash.startsWith(PACKED) ? await unpacked(hash.slice(PACKED.length)) : search;
  if (text === undefined) wrong.push("some of its characters are missing or were changed on the way");
  const query = new URLSearchParams(text ?? "");
  const told = { ...USUAL, at: "", follow: "0", hide: "", v: "" };
  const run = runOf(query.get("lesson"));
  if (!run) {
    wrong.push(`there is no lesson “${query.get("lesson")}”`);
    query.delete("lesson");
  }
  for (const name of Object.keys(told)) told[name] = query.get(name) || run?.[name] || told[name];
  for (const name of ["seed", "value", "actions", "follow"]) {
    const number = Number(told[name]);
    if (Number.isNaN(number)) wrong.push(`its ${name} is “${told[name]}”, which is no number`);
    told[name] = Number.isNaN(number) ? Number(USUAL[name] ?? 0) : number;
  }
  const [format, trace] = told.v.split(".");
  const forks = [];
  for (const [name, value] of query) {
    const [, parent, after, difference] = /^(\d+)_(\d+)_(.+)$/s.exec(value) ?? [];
    if (name === "fork") {
      forks.push(difference ? { parent: Number(parent), steps: [{ after: Number(after), difference }] } : { difference: value });
    } else if (name === "then" && difference && forks.at(-1)?.steps) {
      forks.at(-1).steps.push({ after: Number(after), difference });
    } else if (name === "then") {
      forks.push({ difference: value });
    }
  }
  return {
    ...told, wrong, forks, trace, isNewer: Number(format) > FORMAT,
    hidden: told.hide ? told.hide.split("_") : [],
    event: query.get("event"), ns: Number(query.get("ns")) || undefined,
    // What was shown came from this file; or it was the sample.
    file: query.get("own") || query.get("trace"), isSample: query.has("sample"),
  };
}

// The address of `told`, what the runs are made of, with all that was done to them since.
export async function writeAddress(told, { branches, lead, event, nowNs, zoom }) {
  const entries = Object.entries({ ...told, zoom })
    .filter(([name, value]) => name in USUAL && (value ?? "") !== "" && String(value) !== USUAL[name]);
  branches.forEach((branch, index) => {
    if (!branch.parent) return;
    const parent = branches.indexOf(branch.parent);
    const known = branch.parent.steps;
    const differs = branch.steps.findIndex((step, at) => known[at]?.after !== step.after || known[at].difference !== step.difference);
    branch.steps.slice(differs).forEach(({ after, difference }, at) => {
      entries.push([at ? "then" : "fork", `${parent}_${after}_${difference}`]);
    });
    if (branch === lead) entries.push(["follow", index]);
  });
  const hidden = branches.flatMap((branch, index) => (branch.isShown ? [] : [index]));
  if (hidden.length) entries.push(["hide", hidden.join("_")]);
  entries.push(["event", event]);
  if (nowNs > lead.sim.timeOf(event)) entries.push(["ns", Math.round(nowNs)]);
  entries.push(["v", `${FORMAT}.${lead.sim.traceHash().slice(0, 6)}`]);
  return packedIfLong(new URLSearchParams(entries).toString());
}

// The address of a run of a scenario's lines.
export function scenarioAddress(text) {
  return packedIfLong(new URLSearchParams({ scenario: text }).toString());
}

// Whether a file is a trace, by what it begins with.
export function isTrace(beginning) {
  return beginning.startsWith("tailswap trace ");
}

// Whether a file is a scenario: by its name, or as its first line that is no comment says what one does first.
export async function isScenario(file) {
  if (file.name.endsWith(".scenario")) return true;
  return /^(\s*(#.*)?\n)*(world|create)\b/.test(await file.slice(0, 4096).text());
}

// Whether a file is text, by what it begins with; what is named .couch is looked into whatever it holds.
export async function isText(file) {
  if (/\.couch/.test(file.name)) return false;
  const beginning = await file.slice(0, 4096).text();
  return beginning.trim() !== "" && !/[\0-\x08\x0e-\x1f\ufffd]/.test(beginning.slice(0, -1));
}

async function packedIfLong(query) {
  if (query.length < LONG) return `${location.pathname}?${query}`;
  const bytes = await through(new TextEncoder().encode(query), new CompressionStream("deflate-raw"));
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return location.pathname + PACKED + btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// Nothing where it is damaged.
async function unpacked(text) {
  try {
    const letters = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(await through(bytes, new DecompressionStream("deflate-raw")));
  } catch {
    return undefined;
  }
}

async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}
