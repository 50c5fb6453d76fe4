// Once the page has been seen it can be seen again when its server is gone, or accepts requests and does
// not answer: then, and only then, what was kept is shown. What is kept is put there by the page (keep.js).
const PATIENCE_MS = 4000;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (activation) => activation.waitUntil(clients.claim()));
addEventListener("fetch", (wanted) => {
  const kept = () => caches.match(wanted.request, { ignoreSearch: true });
  const answer = fetch(wanted.request).catch(async (gone) => (await kept()) ?? Promise.reject(gone));
  const late = new Promise((waited) => setTimeout(waited, PATIENCE_MS)).then(kept);
  wanted.respondWith(Promise.race([answer, late.then((copy) => copy ?? answer)]));
});
