// Makes and finds elements. Texts only ever become text nodes: nothing that a caller named can act.

export const SIGNS = { OK: "✓", NG: "✕", REVIEW: "?", ERROR: "!" };

export const byId = (id) => document.getElementById(id);

export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

export function verdictBadge(verdict) {
  const sign = make("span", { class: "sign", ariaHidden: "true" }, SIGNS[verdict]);
  return make("span", { class: `verdict verdict-${verdict.toLowerCase()}` }, sign, verdict);
}

export const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(4));

// Sends JSON; an answer that is no success becomes an Error with the server's words.
export async function send(path, body, method = "POST") {
  const options = { method, headers: { "Content-Type": "application/json" } };
  if (body !== undefined) options.body = JSON.stringify(body);
  return answerOf(await fetch(path, options));
}

export async function answerOf(response) {
  const text = await response.text();
  const answer = text ? JSON.parse(text) : {};
  if (!response.ok) throw new Error(answer.error || `the server answered ${response.status}`);
  return answer;
}

const NAME = "vipx-name";

// A name is typed once on this computer; it is no proof of who somebody is, the audit keeps role and address too.
export function rememberName(input) {
  if (!input.value) input.value = localStorage.getItem(NAME) || ""; // somebody may have typed before this ran
  input.addEventListener("change", () => localStorage.setItem(NAME, input.value));
}

const logOut = byId("log-out");
if (logOut) {
  logOut.addEventListener("click", async () => {
    await fetch("/session", { method: "DELETE" });
    location.reload();
  });
}
