// Draws a picture and, over it, the raw 8-bit heat map: colours, opacity and level act here, no request is made.

// The same anchors as in vipx.runtime.heatmaps: lightness rises evenly, also for colour-blind eyes.
const POSITIONS = [0, 36, 69, 104, 140, 177, 216, 255];
const ANCHORS = [
  [8, 10, 40], [46, 24, 108], [112, 32, 122], [178, 48, 104],
  [226, 84, 66], [246, 142, 48], [250, 200, 90], [255, 248, 214],
];
const MARK = [255, 122, 0];
const LONGEST = 1600;

function nightColours() {
  const colours = [];
  for (let level = 0, band = 0; level < 256; level += 1) {
    while (level > POSITIONS[band + 1]) band += 1;
    const share = (level - POSITIONS[band]) / (POSITIONS[band + 1] - POSITIONS[band]);
    colours.push(ANCHORS[band].map((low, i) => Math.round(low + share * (ANCHORS[band + 1][i] - low))));
  }
  return colours;
}

const COLOURS = {
  night: nightColours(),
  grey: Array.from({ length: 256 }, (_, level) => [level, level, level]),
  mark: Array.from({ length: 256 }, () => MARK),
};

async function bitmapOf(source) {
  if (source === null) return null;
  if (typeof source !== "string") return createImageBitmap(source);
  const response = await fetch(source);
  return response.ok ? createImageBitmap(await response.blob()) : null;
}

export class HeatView {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.picture = null;
    this.levels = null;
    this.settings = { opacity: 0.5, colours: "night", level: 128, contour: false };
    this.turn = 0;
  }

  // Shows a picture (address, Blob or null) and its map; a slower, older call never replaces a newer one.
  async show(picture, map) {
    const turn = (this.turn += 1);
    const [shown, levels] = await Promise.all([bitmapOf(picture), bitmapOf(map)]);
    if (turn !== this.turn) return false;
    this.picture = shown;
    this.levels = levels && readLevels(levels);
    this.fit(shown, levels);
    this.draw();
    return true;
  }

  set(settings) {
    Object.assign(this.settings, settings);
    this.draw();
  }

  fit(picture, map) {
    const size = picture || map;
    if (!size) return;
    const scale = Math.min(1, LONGEST / Math.max(size.width, size.height));
    this.canvas.width = Math.max(1, Math.round(size.width * scale));
    this.canvas.height = Math.max(1, Math.round(size.height * scale));
  }

  draw() {
    const { canvas, context } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (this.picture) context.drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    if (!this.levels) return;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = this.settings.opacity;
    context.drawImage(this.coloured(), 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
    if (this.settings.contour) this.outline();
  }

  coloured() {
    const { width, height, values } = this.levels;
    const image = new ImageData(width, height);
    const table = COLOURS[this.settings.colours];
    const least = this.settings.colours === "mark" ? this.settings.level : 0;
    for (let i = 0; i < values.length; i += 1) {
      const [red, green, blue] = table[values[i]];
      image.data.set([red, green, blue, values[i] >= least ? 255 : 0], 4 * i);
    }
    const layer = new OffscreenCanvas(width, height);
    layer.getContext("2d").putImageData(image, 0, 0);
    return layer;
  }

  // Draws the edges between map pixels on both sides of the level: white on black, seen on any picture.
  outline() {
    const { width, height, values } = this.levels;
    const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && values[y * width + x] >= this.settings.level;
    const [sx, sy] = [this.canvas.width / width, this.canvas.height / height];
    const path = new Path2D();
    for (let y = 0; y <= height; y += 1) {
      for (let x = 0; x <= width; x += 1) {
        const here = inside(x, y);
        if (here !== inside(x - 1, y)) { path.moveTo(x * sx, y * sy); path.lineTo(x * sx, (y + 1) * sy); }
        if (here !== inside(x, y - 1)) { path.moveTo(x * sx, y * sy); path.lineTo((x + 1) * sx, y * sy); }
      }
    }
    const thin = Math.max(1, this.canvas.width / 500);
    for (const [style, line] of [["#000", 3 * thin], ["#fff", thin]]) {
      this.context.strokeStyle = style;
      this.context.lineWidth = line;
      this.context.stroke(path);
    }
  }
}

function readLevels(bitmap) {
  const layer = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = layer.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const values = new Uint8Array(bitmap.width * bitmap.height);
  for (let i = 0; i < values.length; i += 1) values[i] = pixels[4 * i];
  return { width: bitmap.width, height: bitmap.height, values };
}

// Joins the sliders of a screen to its view.
export function joinControls(view) {
  const opacity = document.getElementById("opacity");
  const level = document.getElementById("level");
  const colours = document.getElementById("colours");
  const contour = document.getElementById("contour");
  const apply = () => {
    opacity.nextElementSibling.value = `${opacity.value} %`;
    level.nextElementSibling.value = (level.value / 255).toFixed(2);
    view.set({
      opacity: opacity.value / 100,
      level: Number(level.value),
      colours: colours.value,
      contour: contour.checked,
    });
  };
  for (const control of [opacity, level, colours, contour]) control.addEventListener("input", apply);
  apply();
}
