/** What a person is told, in their words and not in those of the API. */

const FIELDS = {
  email: "The e-mail address",
  name: "The name",
  password: "The password",
  current_password: "The password",
  new_password: "The new password",
  title: "The task",
  description: "The description",
  days: "The number of days",
};
const CODES = {
  WRONG_PASSWORD: "The password is wrong.",
  WRONG_PROOF: "This passkey was not taken. Please try again.",
  INVALID_LINK: "This link cannot be used any more. Please ask for another one.",
  MAIL_IS_OFF: "This service sends no mail. Ask whoever runs it for a link.",
};
const ENDS = {
  expired: "You were away for long. Please sign in again.",
  elsewhere: "You were signed out from another device. Please sign in again.",
  reused: "Somebody else had a copy of your session, so it was ended. Sign in, and choose a new password.",
};
const AWAY = "The service cannot be reached. Please try again when you are online.";
const GONE = "This browser no longer has your tasks. Load the page anew."; // somebody has emptied its store

/** An error of the client, in a sentence. */
export function plainly(error) {
  if (error instanceof ReferenceError) return "It was deleted elsewhere meanwhile.";
  if (error.name === "InvalidStateError") return GONE;
  const isNetwork = error instanceof TypeError || ["AbortError", "TimeoutError"].includes(error.name);
  if (isNetwork) return navigator.onLine ? AWAY : "You are offline. Please try again when you are online.";
  if (CODES[error.code]) return CODES[error.code];
  const [wrong] = error.errors ?? [];
  if (error.code === "VALIDATION_FAILED" && FIELDS[wrong?.field]) return `${FIELDS[wrong.field]} ${wrong.message}.`;
  return error.message;
}

/** Why the service did not take a change. */
export const plainReason = (reason) =>
  reason.replace(/^(\w+) (must|has)/, (all, field, rest) => (FIELDS[field] ? `${FIELDS[field]} ${rest}` : all));

/** Why somebody who was signed in is not any more. */
export const whyOver = (reason) => ENDS[reason] ?? "";

/** The field that an error is about, if it is about one. */
export function wrongField(form, { code, errors = [] }) {
  if (code === "EMAIL_TAKEN") return form.elements.email;
  if (code === "INVALID_CREDENTIALS") return form.elements.password;
  return form.elements[errors[0]?.field] ?? form.elements.current_password;
}

/** What the browser finds wrong with a field. */
export function whatIsWrong({ name, type, validity, minLength }) {
  if (name === "title") return "What is to be done?";
  const what = FIELDS[name];
  if (validity.valueMissing) return `${what} is missing.`;
  if (validity.tooShort) return `${what} must have at least ${minLength} characters.`;
  return type === "email" ? "This is no e-mail address." : `${what} cannot be used.`;
}
