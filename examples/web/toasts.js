import { find } from "./forms.js";
import { plainly } from "./messages.js";

const SHOWN_MS = 6000;

/** Says something at the bottom of the page for a while; returns what takes it away. An `action` is a button there. */
export function toast(text, { isError = false, action, onAction, ms = SHOWN_MS } = {}) {
  const item = document.createElement("div");
  item.append(text);
  if (isError) item.className = "error";
  if (isError) item.role = "alert";
  const close = () => item.remove();
  if (action) {
    const button = document.createElement("button");
    button.className = "plain";
    button.textContent = action;
    button.onclick = () => (close(), onAction());
    item.append(button);
  }
  find("toasts").append(item);
  setTimeout(close, ms);
  return close;
}

export const clearToasts = () => find("toasts").replaceChildren();

/** Does what a button is for, and says at the bottom what came of it. */
export function onClick(button, work) {
  button.onclick = async () => {
    button.disabled = true;
    try {
      const said = await work();
      if (said) toast(said);
    } catch (error) {
      toast(plainly(error), { isError: true });
    }
    button.disabled = false;
  };
}
