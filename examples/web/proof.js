import { find, onSubmit, showError } from "./forms.js";
import { plainly } from "./messages.js";

/** That the account's owner asks: the password, or a passkey where there are some. */
export function bindProof(client, passkeys) {
  const dialog = find("proof");
  const form = find("proof-form");
  let asked = null; // what for, and what to do with the proof

  onSubmit(form, async (proof) => {
    await asked.work(proof);
    dialog.close();
  });
  form.elements.cancel.onclick = () => dialog.close();
  form.elements.passkey.onclick = async () => {
    try {
      await asked.work(await passkeys.prove(asked.act));
      dialog.close();
    } catch (error) {
      if (!wasCancelled(error)) showError(form, plainly(error));
    }
  };

  /** Asks for a proof and does the work with it, and returns whether it was done; what is refused can be tried again. */
  return async (act, text, work) => {
    let isDone = false;
    asked = { act, work: async (proof) => (await work(proof), (isDone = true)) };
    find("proof-text").textContent = text;
    for (const field of dialog.querySelectorAll(".whose")) field.value = client.session.user.email;
    form.reset();
    showError(form, "");
    form.elements.passkey.hidden = !(await passkeys.list().catch(() => [])).length;
    dialog.showModal();
    await new Promise((closed) => (dialog.onclose = closed));
    return isDone;
  };
}

/** Whether somebody has closed what the browser asked. */
export const wasCancelled = ({ name }) => name === "NotAllowedError" || name === "AbortError";
