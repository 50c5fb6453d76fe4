// Getting the engine, also where the first request for it is left without an answer: the page would wait for
// ever. Asked a second time, nothing that a browser keeps, or waits to keep, is in the way. And what it said
// before it could not go on.

import init, { lastPanic } from "./tailswap.js";

const PATIENCE_MS = 10_000;

// Resolves to what the engine hands on, its memory among that.
export function loadEngine() {
  // The words that come when it takes so long lead here by themselves, but would lose what is behind a #.
  document.querySelector(".late a").onclick = () => {
    location.reload();
    return false;
  };
  const ask = (cache) => fetch("tailswap_bg.wasm", { cache });
  let waiting;
  const late = new Promise((asked) => (waiting = setTimeout(asked, PATIENCE_MS)));
  const answer = () => Promise.race([ask("default"), late.then(() => ask("reload"))]).finally(() => clearTimeout(waiting));
  return init({ module_or_path: globalThis.tailswapEngine ?? answer() });
}

// What its panic said, if there was one.
export function lastWords() {
  try {
    return lastPanic();
  } catch {
    return undefined; // It was not even loaded.
  }
}
