// Logs in; the key comes back as a cookie that no script can read.

import { byId, send } from "./elements.js";

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await send("/session", { secret: byId("secret").value });
    // The server checked it; what a browser makes of it must still be this server.
    const after = new URL(byId("login").dataset.after, location.origin);
    location.assign(after.origin === location.origin ? after : "/");
  } catch (error) {
    byId("message").textContent = error.message;
  }
});
