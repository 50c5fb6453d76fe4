// Once the page has been seen it can be seen again when its server is gone: then, and only then, what was
// kept is shown. What is kept is put there by the page (keep.js).
addEventListener("install", () => skipWaiting());
addEventListener("activate", (activation) => activation.waitUntil(clients.claim()));
addEventListener("fetch", (wanted) => {
  const kept = () => caches.match(wanted.request, { ignoreSearch: true });
  wanted.respondWith(fetch(wanted.request).catch(async (gone) => (await kept()) ?? Promise.reject(gone)));
});
