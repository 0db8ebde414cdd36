import { empty, find, onSubmit, setBusy, showError } from "./forms.js";
import { plainly } from "./messages.js";

/** That the account's owner asks: the password, or a passkey where there are some. */
export function bindProof(client, passkeys) {
  const dialog = find("proof");
  const form = find("proof-form");
  let asked = null; // what for, and what to do with the proof

  /** What is sent cannot be taken back: the dialog stays until it is answered. */
  async function send(proof) {
    if (!dialog.open || dialog.closedBy === "none") return; // closed meanwhile, or the other proof was first
    setBusy(form, true);
    dialog.closedBy = "none";
    try {
      await (asked.sent = asked.work(proof, asked.stop.signal));
      asked.isDone = true;
      dialog.close();
    } finally {
      dialog.closedBy = "closerequest";
      setBusy(form, false);
    }
  }
  onSubmit(form, send);
  form.elements.cancel.onclick = () => dialog.close();
  form.elements.passkey.onclick = async () => {
    try {
      await send(await passkeys.prove(asked.act, asked.stop));
    } catch (error) {
      if (!wasCancelled(error)) showError(form, plainly(error));
    }
  };

  /**
   * Asks for a proof and does the work with it, and returns whether it was done; what is refused can be tried again. Whoever
   * closes the dialog, or leaves the account, has it not done.
   */
  return async (act, text, work) => {
    const view = find("account").firstElementChild;
    const keys = await passkeys.list().catch(() => []);
    if (!view.isConnected || dialog.open || form.ariaBusy === "true") return false;
    const mine = (asked = { act, work, isDone: false, sent: null, stop: new AbortController() });
    find("proof-text").textContent = text;
    for (const field of dialog.querySelectorAll(".whose")) field.value = client.session.user.email;
    form.elements.passkey.hidden = !keys.length;
    dialog.showModal();
    await new Promise((closed) => (dialog.onclose = closed));
    mine.stop.abort();
    empty(form);
    find("proof-text").textContent = "";
    await mine.sent?.catch(() => {}); // if it was closed all the same
    return mine.isDone;
  };
}

/** Whether somebody has closed what the browser asked. */
export const wasCancelled = ({ name }) => name === "NotAllowedError" || name === "AbortError";
