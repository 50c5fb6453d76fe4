// The stage as one picture: its canvases, with the words around them.

// Pixels around all.
const MARGIN = 12;
const [TITLE, LINE] = [30, 16];

// A PNG of the runs that are shown, below a title.
export function picture(title) {
  const stage = document.getElementById("branches");
  const box = stage.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil((box.width + 2 * MARGIN) * scale);
  canvas.height = Math.ceil((box.height + TITLE + 2 * MARGIN) * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const { backgroundColor, color, fontFamily } = getComputedStyle(document.body);
  context.fillStyle = backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.textBaseline = "top";
  context.fillStyle = color;
  context.font = `600 16px ${fontFamily}`;
  context.fillText(title, MARGIN, MARGIN, box.width);
  context.translate(MARGIN - box.left, MARGIN + TITLE - box.top);
  for (const part of stage.querySelectorAll("h2, figcaption, canvas, .later, .outcome")) draw(context, part);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The browser made no picture."))), "image/png");
  });
}

function draw(context, part) {
  const { left, top, width, height } = part.getBoundingClientRect();
  if (!width || !height) return;
  const { color, font, opacity, backgroundColor } = getComputedStyle(part);
  context.globalAlpha = Number(opacity);
  if (part instanceof HTMLCanvasElement) {
    context.drawImage(part, left, top, width, height);
  } else if (part.className === "later") {
    context.fillStyle = backgroundColor;
    context.fillRect(left, top, width, height);
    context.fillStyle = color;
    context.fillRect(left, top, 1.5, height);
  } else {
    context.font = font;
    context.fillStyle = color;
    lines(context, part.textContent.trim(), width).forEach((line, at) => context.fillText(line, left, top + 2 + at * LINE, width));
  }
  context.globalAlpha = 1;
}

// A text in lines that are no wider than `width`.
function lines(context, text, width) {
  const all = [""];
  for (const word of text.split(/\s+/)) {
    const longer = `${all.at(-1)} ${word}`.trim();
    if (context.measureText(longer).width <= width || !all.at(-1)) all[all.length - 1] = longer;
    else all.push(word);
  }
  return all;
}
