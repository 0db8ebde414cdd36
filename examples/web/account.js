import { ask, find, fromTemplate, onSubmit } from "./forms.js";
import { plainly } from "./messages.js";
import { bindPasskeys } from "./passkeys.js";
import { onClick, toast } from "./toasts.js";
import { bindTokens } from "./tokens.js";

/**
 * What the account view consists of, in its order in the page: each binds its part and returns what fills it. It finds its
 * elements at once: what is answered late belongs to a view that is closed, and the next one may be somebody else's.
 */
const SECTIONS = [profile, address, password, sessions, passkeySection, tokens, leaving];
const HEADINGS = { account: "profile-title", password: "password-title", sessions: "sessions-title" };

/**
 * Shows the account at one of its sections; `leave` deletes it. `prove` asks for the password or a passkey.
 */
export async function openAccount(client, name, { leave, passkeys, prove }) {
  const view = find("account");
  if (view.hidden) {
    view.replaceChildren(fromTemplate("account-sections"));
    view.hidden = false;
    for (const field of view.querySelectorAll(".whose")) field.value = client.session.user.email;
    const [sections] = view.children;
    const fills = SECTIONS.map((section) => section(client, { leave, passkeys, prove }));
    goTo(name);
    const error = await Promise.all(fills.map((fill) => fill?.())).then(() => null, (error) => error);
    if (!sections.isConnected) return; // it is closed meanwhile
    if (error) toast(plainly(error), { isError: true });
  }
  if (!view.contains(document.activeElement)) goTo(name);
}

export function closeAccount() {
  find("account").hidden = true;
  find("account").replaceChildren();
}

function goTo(name) {
  const heading = find(HEADINGS[name]);
  heading.focus({ preventScroll: true });
  if (name === "account") scrollTo(0, 0);
  else heading.closest("section").scrollIntoView();
}

function profile(client) {
  const form = find("profile");
  form.elements.name.defaultValue = client.session.user.name ?? "";
  onSubmit(form, async ({ name }) => {
    const user = await client.auth.changeMe({ name: name.trim() || null });
    form.elements.name.defaultValue = user.name ?? "";
    toast("The name is changed.");
  });
}

/** Only where the service sends mail. */
function address(client) {
  onClick(find("prove"), async () => (await client.auth.mailVerificationLink()).detail);
  onSubmit(find("address"), async ({ email, current_password }) => {
    const { detail } = await client.auth.changeEmail({ email, proof: { current_password } });
    toast(detail);
  });
  const [section, now, prove] = ["account-address", "address-now", "prove"].map(find);
  return async () => {
    try {
      const { email, verified_at } = await client.auth.showEmail();
      now.textContent = `${email} ${verified_at ? "is proven to be yours." : "is not proven to be yours yet."}`;
      prove.hidden = verified_at !== null;
      section.hidden = false;
    } catch (error) {
      if (error.status !== 501) throw error;
    }
  };
}

function password(client) {
  const fill = sessionFill(client);
  onSubmit(find("password-form"), async (passwords) => {
    await client.auth.changePassword(passwords);
    toast("The password is changed, and every other session has ended.");
    await fill();
  });
}

function sessions(client) {
  const fill = sessionFill(client);
  onClick(find("sign-out-others"), async () => {
    await client.auth.signOut({ others: true });
    await fill();
    return "You are signed out everywhere else.";
  });
  return fill;
}

function sessionFill(client) {
  const [list, others, heading] = ["session-list", "sign-out-others", "sessions-title"].map(find);
  return async () => {
    const all = (await client.auth.listSessions()).filter(({ kind }) => kind !== "script");
    const items = all.map(({ id, device, last_used_at, current }) => {
      const item = fromTemplate("session");
      const [text, button] = item.children;
      const name = device ?? "A device";
      const used = new Date(last_used_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
      text.textContent = current ? `${name} (this one)` : `${name}, last used ${used}`;
      button.hidden = current;
      button.ariaLabel = `End the session of ${name}`;
      onClick(button, async () => {
        await client.auth.endSession(id);
        item.remove();
        heading.focus();
        return `${name} is signed out.`;
      });
      return item;
    });
    list.replaceChildren(...items);
    others.hidden = items.length < 2;
  };
}

function passkeySection(client, { passkeys, prove }) {
  return bindPasskeys(passkeys, prove);
}

function tokens(client, { prove }) {
  return bindTokens(client, prove);
}

function leaving(client, { leave }) {
  onSubmit(find("leave"), async (sent) => {
    if (await ask("Delete the account and all of its tasks?", "Delete everything")) await leave(sent);
  });
}
