import { find, fromTemplate, onSubmit } from "./forms.js";
import { wasCancelled } from "./proof.js";
import { toast } from "./toasts.js";

/** The passkeys of the account, only where browser and service have them. */
export function bindPasskeys(passkeys, prove) {
  const [section, heading, list] = ["account-passkeys", "passkeys-title", "passkey-list"].map(find);
  async function fill() {
    const items = (await passkeys.list()).map(({ id, name, synced, last_used_at }) => {
      const item = fromTemplate("passkey");
      const [text, button] = item.children;
      const title = name ?? "A passkey";
      const where = synced ? "on all of your devices" : "on one device";
      const used = last_used_at ? `last used ${new Date(last_used_at).toLocaleDateString()}` : "never used";
      text.textContent = `${title}: ${where}, ${used}`;
      button.ariaLabel = `Delete ${title}`;
      button.onclick = () =>
        prove("passkey", `To delete ${title}, prove that it is you.`, async (proof) => {
          await passkeys.remove(id, proof);
          await fill();
          toast(`${title} is deleted. Your device may go on to offer it.`);
          heading.focus();
        });
      return item;
    });
    list.replaceChildren(...items);
  }

  onSubmit(find("passkey-form"), async ({ name }) => {
    const isDone = await prove("passkey", "To add a passkey, prove that it is you.", async (proof, signal) => {
      try {
        await passkeys.add(name.trim() || null, proof, { signal });
      } catch (error) {
        if (error.name === "InvalidStateError") throw new Error("This device has a passkey of yours already.");
        if (wasCancelled(error)) throw new Error("No passkey was made.");
        throw error;
      }
      await fill();
      toast("The passkey is added. You can sign in with it.");
    });
    if (!isDone) throw new Error("No passkey was made.");
  });
  return async () => {
    if (!(await passkeys.isOffered())) return;
    await fill();
    section.hidden = false;
  };
}
