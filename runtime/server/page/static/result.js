// One kept result: its picture, what people say of it, the calibration set.

import { byId, rememberName, send } from "./elements.js";
import { HeatView, joinControls } from "./heat.js";

const { id, image, map } = byId("result").dataset;
const view = new HeatView(byId("view"));

async function say(path, body) {
  const who = byId("who");
  if (!who.reportValidity()) return null;
  try {
    const answer = await send(`/results/${id}/${path}`, { ...body, who: who.value });
    byId("message").textContent = "Saved.";
    return answer;
  } catch (error) {
    byId("message").textContent = error.message;
    return null;
  }
}

joinControls(view);
rememberName(byId("who"));
view.show(image === "1" ? `/results/${id}/picture` : null, map === "1" ? `/results/${id}/map` : null);
for (const button of document.querySelectorAll("[data-truth]")) {
  button.addEventListener("click", async () => {
    const answer = await say("label", { truth: button.dataset.truth });
    if (answer) byId("label").textContent = `${answer.label.replace("_", " ")} by ${byId("who").value}`;
  });
}
byId("calibration").addEventListener("change", async (event) => {
  const picked = event.target.checked;
  if (!(await say("calibration", { picked }))) event.target.checked = !picked;
});
byId("say").addEventListener("submit", (event) => event.preventDefault());
