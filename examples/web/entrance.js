import { find, onSubmit } from "./forms.js";
import { toast } from "./toasts.js";

const TITLES = {
  "sign-in": "Sign in",
  "sign-up": "Create an account",
  forgotten: "Forgot the password",
  reset: "Choose a new password",
};
const DEVICE = `A web page on ${navigator.userAgentData?.platform || navigator.platform}`;

/** The forms for somebody who is not signed in. */
export function bindEntrance(client, link) {
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
}

export const say = (text) => (find("notice").textContent = text);
