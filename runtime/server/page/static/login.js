// Logs in; the key comes back as a cookie that no script can read.

import { byId, send } from "./elements.js";

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await send("/session", { secret: byId("secret").value });
    location.assign("/");
  } catch (error) {
    byId("message").textContent = error.message;
  }
});
