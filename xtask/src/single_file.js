// Where there is no server there is no engine to fetch: it is in the page.
const packed = Uint8Array.from(atob(document.getElementById("engine").textContent), (each) => each.charCodeAt(0));
const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
globalThis.tailswapEngine = new Response(unpacked).arrayBuffer();
