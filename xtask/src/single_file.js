// Where there is no server there are no modules to fetch: each becomes an address of its own, in the
// order in which they need each other.
const addresses = new Map();

function addressOf(name) {
  if (!addresses.has(name)) {
    const { textContent } = document.querySelector(`script[data-module="${name}"]`);
    const text = textContent.replaceAll(/from ?"(\.\/[\w-]+\.js)"/g, (_, other) => `from "${addressOf(other)}"`);
    addresses.set(name, URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  }
  return addresses.get(name);
}

function engine() {
  const packed = Uint8Array.from(atob(document.getElementById("engine").textContent), (each) => each.charCodeAt(0));
  const bytes = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(bytes).arrayBuffer();
}

globalThis.tailswapEngine = engine();
await import(addressOf("./main.js"));
