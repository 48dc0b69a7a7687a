// The Threshold screen: the scores come once, everything is counted here while the sliders move.

import { answerOf, byId, make, rememberName, send } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";
const BINS = 100;
const [LEFT, RIGHT, TOP, FLOOR] = [30, 970, 30, 265];
const GOOD = new Set(["false_ng", "true_ok"]);
const BAD = new Set(["true_ng", "false_ok"]);
const recipe = byId("desk").dataset.recipe;
let data = { scores: [], labels: [], now: { threshold: null, review: null } };

const verdictAt = (score, limits) => {
  if (limits.ng === null) return "REVIEW";
  if (score >= limits.ng) return "NG";
  return limits.review !== null && score >= limits.review ? "REVIEW" : "OK";
};

const inForce = () => ({ ng: data.now.threshold, review: data.now.review });
const chosen = () => ({ ng: byId("ng").value / 10000, review: byId("review").value / 10000 });

function draw(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const across = (score) => LEFT + score * (RIGHT - LEFT);

function bars() {
  const bins = Array.from({ length: BINS }, () => ({ none: 0, good: 0, bad: 0 }));
  data.scores.forEach((score, i) => {
    const label = data.labels[i];
    const kind = GOOD.has(label) ? "good" : BAD.has(label) ? "bad" : "none";
    bins[Math.min(BINS - 1, Math.max(0, Math.floor(score * BINS)))][kind] += 1;
  });
  // Heights grow with the square root: one defective part beside a thousand good ones must be seen.
  const most = Math.max(1, ...bins.map((bin) => Math.sqrt(bin.none + bin.good + bin.bad)));
  return bins.flatMap((bin, i) => stack(bin, i, most));
}

function stack(bin, place, most) {
  const total = bin.none + bin.good + bin.bad;
  const height = (Math.sqrt(total) / most) * (FLOOR - TOP);
  let below = FLOOR;
  return ["none", "good", "bad"].filter((kind) => bin[kind]).map((kind) => {
    const part = (height * bin[kind]) / total;
    below -= part;
    const width = (RIGHT - LEFT) / BINS;
    return draw("rect", { class: `bar-${kind}`, x: LEFT + place * width, y: below, width: width - 1, height: part });
  });
}

function axis() {
  const parts = [draw("line", { class: "axis", x1: LEFT, x2: RIGHT, y1: FLOOR, y2: FLOOR })];
  for (let tick = 0; tick <= 10; tick += 1) {
    parts.push(draw("text", { class: "tick", x: across(tick / 10), y: FLOOR + 22 }, (tick / 10).toFixed(1)));
  }
  return parts;
}

function limitLine(kind, score, name, y) {
  const x = across(score);
  const line = draw("line", { class: `line-${kind}`, x1: x, x2: x, y1: y, y2: FLOOR });
  const side = score > 0.9 ? { x: x - 5, "text-anchor": "end" } : { x: x + 5 };
  return [line, draw("text", { class: "line-name", y: y + 12, ...side }, name)];
}

function count(limits) {
  const counts = { OK: 0, REVIEW: 0, NG: 0, falseAlarms: 0, missed: 0 };
  data.scores.forEach((score, i) => {
    const verdict = verdictAt(score, limits);
    counts[verdict] += 1;
    if (GOOD.has(data.labels[i]) && verdict !== "OK") counts.falseAlarms += 1;
    if (BAD.has(data.labels[i]) && verdict === "OK") counts.missed += 1;
  });
  return counts;
}

function fill(row, counts) {
  const cells = ["OK", "REVIEW", "NG", "falseAlarms", "missed"].map((name) => make("td", { class: "number" }, String(counts[name])));
  row.replaceChildren(row.firstElementChild, ...cells);
}

function update() {
  const [now, these] = [inForce(), chosen()];
  byId("histogram").replaceChildren(
    ...bars(), ...axis(), ...limitLine("review", these.review, "REVIEW", 4), ...limitLine("ng", these.ng, "NG", 20),
  );
  fill(byId("row-now"), count(now));
  fill(byId("row-new"), count(these));
  const changed = data.scores.filter((score) => verdictAt(score, now) !== verdictAt(score, these)).length;
  byId("changes").textContent = `${changed} of ${data.scores.length} verdicts would change`;
}

// REVIEW never lies above NG: the slider that moves takes the other along.
function move(name, value) {
  const number = Math.min(10000, Math.max(name === "ng" ? 1 : 0, Math.round(value)));
  byId(name).value = number;
  if (name === "ng") byId("review").value = Math.min(byId("review").value, number);
  else byId("ng").value = Math.max(byId("ng").value, number, 1);
  for (const each of ["ng", "review"]) byId(`${each}-number`).value = (byId(each).value / 10000).toFixed(4);
  update();
}

async function load() {
  const query = new URLSearchParams({ recipe, last: byId("last").value });
  data = await answerOf(await fetch(`/threshold/scores?${query}`));
  byId("seen").textContent = `· ${data.scores.length} results; heights by square root`;
  const ng = data.now.threshold === null ? 0.5 : data.now.threshold;
  move("ng", ng * 10000);
  move("review", (data.now.review === null ? ng : data.now.review) * 10000);
}

async function save(event) {
  event.preventDefault();
  const these = chosen();
  const body = {
    recipe,
    base: Number(byId("put").dataset.base),
    threshold: these.ng,
    review: these.review > 0 && these.review < these.ng ? these.review : null,
    who: byId("who").value,
    why: byId("why").value,
  };
  try {
    const answer = await send("/threshold", body);
    byId("message").textContent = `Version ${answer.version} is in force.`;
    location.reload();
  } catch (error) {
    byId("message").textContent = error.message;
  }
}

for (const name of ["ng", "review"]) {
  byId(name).addEventListener("input", () => move(name, Number(byId(name).value)));
  byId(`${name}-number`).addEventListener("change", () => move(name, Number(byId(`${name}-number`).value) * 10000));
}
rememberName(byId("who"));
byId("last").addEventListener("change", load);
byId("save").addEventListener("submit", save);
load().catch((error) => { byId("message").textContent = error.message; });
