// Asking for a token where the server wants one.

import { byId } from "./dom.js";

/** Ask; resolves to the token, or to null where nobody gives one. */
export function askToken(again) {
  const dialog = byId("token");
  const value = byId("token-value");
  if (again) byId("token-why").textContent = "That token is not known here. Try another one.";
  byId("token-cancel").onclick = () => dialog.close();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const close = () => {
      resolve(dialog.returnValue === "given" ? value.value.trim() : null);
      value.value = "";
    };
    dialog.addEventListener("close", close, { once: true });
  });
}
