import { plainly, wrongField, whatIsWrong } from "./messages.js";

export const find = (id) => document.getElementById(id);
export const fromTemplate = (id) => find(id).content.cloneNode(true).firstElementChild;

/**
 * Calls the work with a form's fields, and empties the form if it succeeds. While it is under way the form is disabled, so
 * that a double click does nothing twice. What is wrong is said in the form, at the field.
 */
export function onSubmit(form, work) {
  form.noValidate = true; // we say ourselves what is wrong
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    showError(form, "");
    const wrong = [...form.elements].find((field) => !field.validity.valid);
    if (wrong) return showError(form, whatIsWrong(wrong), wrong);
    const values = Object.fromEntries(new FormData(form));
    const focused = document.activeElement;
    setBusy(form, true);
    const error = await work(values).then(() => null, (error) => error);
    setBusy(form, false); // before the focus goes to what is wrong
    if (error) showError(form, plainly(error), wrongField(form, error));
    else form.reset();
    // A disabled field has lost the focus.
    if (document.activeElement === document.body && focused.checkVisibility()) focused.focus();
  });
}

export function setBusy(form, isBusy) {
  form.ariaBusy = isBusy;
  form.querySelector("fieldset").disabled = isBusy;
}

/** Takes back what was typed into a form, and what was said of it. */
export function empty(form) {
  form.reset();
  showError(form, "");
}

/** Says in the form what is wrong, and moves to the field; an empty text takes it back. */
export function showError(form, text, field) {
  const said = form.querySelector(".error");
  said.id ||= `error-${crypto.randomUUID()}`;
  said.textContent = text;
  for (const each of form.querySelectorAll("[aria-invalid]")) {
    each.removeAttribute("aria-invalid");
    each.removeAttribute("aria-describedby");
  }
  if (!text) return;
  field?.setAttribute("aria-invalid", "true");
  field?.setAttribute("aria-describedby", said.id);
  field?.focus();
  said.scrollIntoView({ block: "nearest" });
}

/** Asks for a yes before something that cannot be taken back. */
export function ask(text, yes) {
  const question = find("question");
  find("question-text").textContent = text;
  question.querySelector("[value=yes]").textContent = yes;
  question.returnValue = "no";
  question.showModal();
  return new Promise((answered) => {
    question.onclose = () => {
      find("question-text").textContent = "";
      answered(question.returnValue === "yes");
    };
  });
}
