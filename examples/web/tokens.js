import { find, fromTemplate, onSubmit } from "./forms.js";
import { onClick, toast } from "./toasts.js";

const MAY = { "tasks:read": "read tasks", "tasks:write": "change tasks" };

/** The tokens of the account's scripts. */
export function bindTokens(client, prove) {
  const [list, heading, made, token] = ["token-list", "tokens-title", "token-made", "token"].map(find);
  async function fill() {
    const scripts = (await client.auth.listSessions()).filter(({ kind }) => kind === "script");
    const items = scripts.map(({ id, device, scopes, expires_at }) => {
      const item = fromTemplate("script-token");
      const [text, button] = item.children;
      const until = new Date(expires_at).toLocaleDateString();
      text.textContent = `${device}: may ${scopes.map((scope) => MAY[scope]).join(" and ")} until ${until}`;
      button.ariaLabel = `End ${device}`;
      onClick(button, async () => {
        await client.auth.endSession(id);
        item.remove();
        heading.focus();
        return `${device} cannot be used any more.`;
      });
      return item;
    });
    list.replaceChildren(...items);
  }

  onSubmit(find("token-form"), async ({ name, scopes, days }) => {
    const isDone = await prove("token", "To make a token, prove that it is you.", async (proof) => {
      const body = { name, scopes: scopes.split(" "), days: Number(days), proof };
      token.value = (await client.auth.createToken(body)).token;
      made.hidden = false;
      await fill();
    });
    if (!isDone) throw new Error("No token was made.");
  });
  find("token-copy").onclick = async () => {
    token.select();
    await navigator.clipboard.writeText(token.value).then(() => toast("It is copied."), () => {});
  };
  find("token-kept").onclick = () => {
    token.value = "";
    made.hidden = true;
    heading.focus();
  };
  return fill;
}
