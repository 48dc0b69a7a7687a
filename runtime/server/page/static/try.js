// The Try screen: a picture by drop, paste or choice; the answer beside it.

import { answerOf, byId, make, score, verdictBadge } from "./elements.js";
import { HeatView, joinControls } from "./heat.js";

const plain = new HeatView(byId("plain"));
const view = new HeatView(byId("view"));
let turn = 0;

// The server takes only characters that can be shown as a part's id.
const shownName = (name) => name.replace(/[\p{C}\p{Z}]/gu, " ").slice(-128);

async function ask(file) {
  const part = byId("part").value || shownName(file.name);
  const query = new URLSearchParams({ recipe: byId("recipe").value, part_id: part });
  const kind = /^image\/(png|jpeg|bmp|tiff)$/.test(file.type) ? file.type : "application/octet-stream";
  return answerOf(await fetch(`/try?${query}`, { method: "POST", body: file, headers: { "Content-Type": kind } }));
}

async function inspect(file) {
  const mine = (turn += 1);
  byId("message").textContent = "Inspecting …";
  try {
    const answer = await ask(file);
    if (mine !== turn) return;
    await show(file, answer);
    byId("message").textContent = answer.stored ? "" : "This result was not stored.";
  } catch (error) {
    if (mine !== turn) return;
    byId("answer").hidden = true;
    byId("message").textContent = error.message;
  }
}

async function show(file, answer) {
  byId("verdict").replaceWith(Object.assign(verdictBadge(answer.verdict), { id: "verdict" }));
  byId("score").textContent = score(answer.anomaly_score);
  byId("reason").textContent = answer.reason;
  byId("name").textContent = file.name || "Pasted picture";
  byId("more").href = `/results/${answer.result_id}`;
  byId("more").hidden = !answer.stored;
  byId("times").replaceChildren(...Object.entries(answer.timing_ms).map(timeRow));
  // The server decodes TIFF, browsers do not: its copy is shown where the file itself cannot be.
  const picture = await createImageBitmap(file).catch(() => `/live.jpg?seq=${answer.seq}`);
  await plain.show(picture, null);
  await view.show(picture, answer.has_map ? `/results/${answer.result_id}/map` : null);
  byId("answer").hidden = false;
}

function timeRow([name, milliseconds]) {
  const number = make("td", { class: "number" }, milliseconds.toFixed(2));
  return make("tr", {}, make("th", { scope: "row" }, name), number);
}

joinControls(view);
const drop = byId("drop");
byId("file").addEventListener("change", (event) => event.target.files[0] && inspect(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
  });
}
drop.addEventListener("drop", (event) => event.dataTransfer.files[0] && inspect(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => event.clipboardData.files[0] && inspect(event.clipboardData.files[0]));
byId("try").addEventListener("submit", (event) => event.preventDefault());
