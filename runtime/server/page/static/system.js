// The System screen: the doctor's report on demand.

import { answerOf, byId } from "./elements.js";

byId("examine").addEventListener("click", async () => {
  byId("examine").disabled = true;
  byId("report").hidden = false;
  byId("report").textContent = "Examining …";
  try {
    byId("report").textContent = JSON.stringify(await answerOf(await fetch("/system/report")), null, 2);
  } catch (error) {
    byId("report").textContent = error.message;
  }
  byId("examine").disabled = false;
});
