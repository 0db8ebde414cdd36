import { find } from "./forms.js";

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
