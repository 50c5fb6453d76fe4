// What the page tells of a moment beside its pictures: the story, the numbers, the last events.

import { setText } from "./branch.js";
import { fill, showInvariants, showLog, showRecovery } from "./panels.js";
import { CLASSES, bytes, lockWords, milliseconds, story, swapStep } from "./words.js";

const find = (id) => document.getElementById(id);

// What is told of a moment of the run that is followed.
export function tell(main, moment, { event, nowNs }) {
  const [heading, why] = story(moment);
  setText(find("now-title"), heading);
  setText(find("now-why"), why);
  find("scrubber").value = event;
  find("scrubber").setAttribute("aria-valuetext", `event ${event}, ${milliseconds(nowNs)}`);
  showFacts(main, moment, event, nowNs);
  const latest = moment.isCompacting ? moment.swap.findLast((swap) => swap.atNs) : undefined;
  fill(find("swap"), moment.swap, "li", (item, swap) => {
    setText(item, swapStep(swap.step));
    item.className = `${swap.atNs ? "done" : ""} ${swap === latest ? "latest" : ""}`;
  });
  showLog(find("log"), main.sim, event);
  showRecovery(find("recovery"), moment.recovery);
}

function showFacts(main, moment, event, nowNs) {
  setText(find("lock"), `The lock: ${lockWords(moment)}`);
  find("lock").classList.toggle("held", moment.holder === "compactor");
  const inCharge = moment.files.find((file) => file.role === "in_charge");
  const counted = moment.files.reduce((sum, file) => sum + file.classes.reduce((all, each) => all + each, 0), 0);
  const length = moment.files.reduce((sum, file) => sum + file.length, 0);
  const facts = [
    "time", milliseconds(nowNs),
    "event", `${event} of ${main.end}`,
    "queued", `${moment.queued} mutations`,
    "flusher waited at most", milliseconds(moment.longestStallNs),
    "compactor held the lock", milliseconds(moment.lockHeldNs),
    "bytes told apart", length ? `${Math.round((counted / length) * 100)} % of ${bytes(length)}` : "–",
  ];
  [...find("facts").children].forEach((item, index) => setText(item, facts[index]));
  showInvariants(find("invariants"), main.sim, event);
  find("legend").querySelectorAll("li span").forEach((span, index) => {
    setText(span, inCharge ? bytes(inCharge.classes[index]) : "");
    // Only files from elsewhere hold what nobody knows.
    span.parentElement.hidden = index === CLASSES.length - 1 && !inCharge?.classes[index];
    // Of a trace nobody knows what is dead.
    if (CLASSES[index].startsWith("dead")) span.parentElement.hidden = main.isTrace;
  });
}
