import { empty, find, onSubmit, showError } from "./forms.js";
import { plainly } from "./messages.js";
import { wasCancelled } from "./proof.js";
import { toast } from "./toasts.js";

const TITLES = {
  "sign-in": "Sign in",
  "sign-up": "Create an account",
  forgotten: "Forgot the password",
  reset: "Choose a new password",
};
const DEVICE = `A web page on ${navigator.userAgentData?.platform || navigator.platform}`;

let offer = async () => {}; // passkeys, while somebody may sign in
let stopped = null;

/** The forms for somebody who is not signed in. */
export function bindEntrance(client, passkeys, link) {
  bindPasskeySignIn(passkeys);
  onSubmit(find("sign-in"), (account) => client.auth.signIn({ ...account, device: DEVICE }));
  onSubmit(find("sign-up"), ({ name, ...account }) =>
    client.auth.signUp({ ...account, name: name.trim() || null, device: DEVICE }),
  );
  onSubmit(find("forgotten"), async (account) => {
    const { detail } = await client.auth.mailResetLink(account);
    location.hash = "#sign-in";
    say(detail);
  });
  onSubmit(find("reset"), async (password) => {
    const { detail } = await client.auth.resetPassword({ token: link.token(), ...password });
    link.done();
    if (client.session.user) await client.session.refresh().catch(() => {}); // over, if it is of the same account
    if (client.session.user) toast(detail);
    location.hash = "#sign-in";
    say(detail);
  });
}

/** By a button, and by the browser's own list at the address; only where browser and service have passkeys. */
function bindPasskeySignIn(passkeys) {
  const form = find("sign-in");
  const button = find("passkey-sign-in");
  let isOffered = false;

  const refused = (error) => {
    if (wasCancelled(error)) return;
    const isUnknown = error.code === "INVALID_CREDENTIALS";
    showError(form, isUnknown ? "This passkey is not known here any more." : plainly(error));
  };
  offer = async () => {
    const { signal } = (stopped = new AbortController());
    try {
      isOffered ||= await passkeys.isOffered();
      button.hidden = !isOffered;
      while (isOffered && !signal.aborted) {
        try {
          await passkeys.signInByAutofill({ device: DEVICE, signal });
          return;
        } catch (error) {
          refused(error);
          if (error.code !== "INVALID_CREDENTIALS") return;
        }
      }
    } catch {
      // There is no network: the form says so when it is sent.
    }
  };
  button.onclick = async () => {
    showError(form, "");
    await passkeys.signIn({ device: DEVICE }).catch(refused);
    if (button.checkVisibility()) void offer();
  };
}

export function hideEntrance() {
  find("entrance").hidden = true;
  for (const form of find("entrance").querySelectorAll("form")) empty(form);
  stopped?.abort();
}

/** Shows one of the forms, with what was typed in the one before. */
export function showEntrance(name) {
  const section = find("entrance");
  const before = section.querySelector("form:not([hidden])");
  const form = find(name);
  if (before === form && !section.hidden) return;
  if (before?.elements.email?.value && form.elements.email) form.elements.email.value = before.elements.email.value;
  for (const each of section.querySelectorAll("form")) each.hidden = each !== form;
  if (name === "sign-up" || name === "forgotten") say("");
  find("entrance-title").textContent = TITLES[name];
  const isFirst = section.hidden && !before;
  section.hidden = false;
  if (!isFirst) find("entrance-title").focus();
  stopped?.abort();
  if (name === "sign-in") void offer();
}

export const say = (text) => (find("notice").textContent = text);
