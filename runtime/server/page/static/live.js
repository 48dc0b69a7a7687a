// The Live screen: one stream of events, one picture a part.

import { byId, make, score, send, SIGNS, verdictBadge } from "./elements.js";
import { HeatView, joinControls } from "./heat.js";

const RETRY_MS = 3000;
const view = new HeatView(byId("view"));
let shown = null;
let lastHeard = 0;

function showVerdict(result, latched) {
  const told = latched || result;
  const name = told ? told.verdict : "none";
  byId("panel").className = `panel panel-${name.toLowerCase()}`;
  byId("sign").textContent = told ? SIGNS[told.verdict] : "·";
  byId("word").textContent = told ? told.verdict : "WAITING";
  byId("score").textContent = told ? score(told.score) : "–";
  byId("limit").textContent = told ? score(told.threshold) : "–";
  byId("part").textContent = (told && told.part_id) || "–";
  byId("recipe").textContent = told ? told.recipe : "–";
  byId("reason").textContent = told ? told.reason : "";
  byId("acknowledge").hidden = !latched;
}

// A server that was started again has no part yet: the last picture of the one before must not stay.
async function showNoPicture() {
  byId("no-picture").hidden = false;
  byId("no-picture").textContent = "No part yet";
  await view.show(null, null);
}

async function showPicture(result) {
  const wanted = result ? result.result_id : null;
  if (wanted === shown) return;
  shown = wanted;
  if (!result) return showNoPicture();
  byId("no-picture").hidden = result.has_image;
  byId("no-picture").textContent = "No picture of this part";
  const picture = result.has_image ? `/live.jpg?seq=${result.seq}` : null;
  await view.show(picture, result.has_map ? `/results/${result.result_id}/map` : null);
}

function card(result) {
  const picture = result.has_image
    ? make("img", { src: `/results/${result.result_id}/thumbnail`, alt: "", loading: "lazy" })
    : make("span", { class: "no-thumb" }, "no picture");
  const name = make("small", {}, result.part_id || `no. ${result.seq}`);
  const inner = [picture, verdictBadge(result.verdict), name];
  const holder = result.stored ? make("a", { href: `/results/${result.result_id}` }, ...inner) : make("div", {}, ...inner);
  return make("li", {}, holder);
}

function showAlarms(board) {
  const told = [...byId("alarms").children].map((one) => one.textContent);
  if (told.join("\n") === board.alarms.join("\n")) return; // else a screen reader says them with every part
  byId("alarms").replaceChildren(...board.alarms.map((text) => make("p", {}, text)));
}

function showBoard(board) {
  const [newest] = board.results;
  showVerdict(newest, board.latched);
  showPicture(newest);
  for (const place of document.querySelectorAll("[data-count]")) {
    place.textContent = board.counters[place.dataset.count];
  }
  byId("strip").replaceChildren(...board.results.map(card));
  showAlarms(board);
}

// A verdict on the screen must never be mistaken for a present one when the server is gone.
function watchLink() {
  const silent = Date.now() - lastHeard > 25000;
  byId("link-state").textContent = lastHeard && !silent ? "● connected" : "○ no connection";
  if (lastHeard && silent) {
    showAlarms({ alarms: ["No connection to the server: what is shown is old."] });
    showVerdict(null, null);
  }
}

joinControls(view);
function listen() {
  const events = new EventSource("/events");
  events.addEventListener("message", (event) => {
    lastHeard = Date.now();
    showBoard(JSON.parse(event.data));
    watchLink();
  });
  events.addEventListener("error", () => {
    lastHeard = Math.min(lastHeard, Date.now() - 20000);
    // After an answer that is no stream (too many pages, a proxy without its server) the browser has given up.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  });
}
listen();
setInterval(watchLink, 1000);
byId("acknowledge").addEventListener("click", () => send("/live/acknowledge", {}));
byId("reset").addEventListener("click", () => send("/live/reset", {}));
