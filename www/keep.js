// Keeps the page in the browser for when its server is gone (offline.js).

export async function keep() {
  // A page of one file needs nobody, and a browser need not keep what does not come safely.
  if (globalThis.tailswapEngine || !navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("offline.js");
    const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
    const own = new Set(loaded.filter((name) => name.startsWith(location.origin)));
    await (await caches.open("page")).addAll(["./", ...own]);
    await navigator.serviceWorker.ready;
    document.body.dataset.kept = "yes";
  } catch {
    // The server is gone already, or the browser keeps nothing: what there is stays as it is.
  }
}
