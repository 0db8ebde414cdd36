import { find, fromTemplate } from "./forms.js";
import { plainReason } from "./messages.js";

const NAMES = { title: "title", description: "description", priority: "priority", status: "state" };
const STATES = { pending: "to do", in_progress: "begun", completed: "done" };

/** Shows what the service did not take, each with both sides and two ways to settle it. */
export async function showConflicts(copy, conflicts) {
  const list = find("conflicts");
  const items = await Promise.all(conflicts.map(async (conflict) => item(copy, conflict, await copy.get(conflict.task.id))));
  const shown = [...list.children].map(({ dataset }) => dataset.is);
  if (shown.join() !== items.map(({ dataset }) => dataset.is).join()) list.replaceChildren(...items);
}

function item(copy, { number, kind, fields, task, reason }, theirs) {
  const element = fromTemplate("conflict");
  element.dataset.is = JSON.stringify([number, theirs?.version]);
  const title = theirs?.title ?? task.title ?? "A task";
  element.querySelector(".reason").textContent = `“${title}”: ${plainReason(reason)}`;
  const both = theirs && kind === "edit" ? Object.keys(fields) : [];
  for (const name of both) {
    row(element, `Your ${NAMES[name]}`, STATES[fields[name]] ?? fields[name]);
    row(element, `Theirs`, STATES[theirs[name]] ?? theirs[name]);
  }
  const [mine, leave] = WORDS[kind === "delete" ? "delete" : theirs ? "edit" : "again"];
  button(".mine", mine, "mine");
  button(".theirs", leave, "theirs");
  return element;

  function button(selector, words, whose) {
    const found = element.querySelector(selector);
    found.textContent = words;
    found.ariaLabel = `${words}: ${title}`;
    found.onclick = () => {
      for (const each of element.querySelectorAll("button")) each.disabled = true;
      find("new").elements.title.focus();
      return copy.settle(number, whose);
    };
  }
}

const WORDS = {
  edit: ["Use mine", "Keep theirs"],
  delete: ["Delete it", "Keep it"],
  again: ["Make it again", "Let it go"],
};

function row(element, name, value) {
  const [term, text] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  text.textContent = value || "nothing";
  element.querySelector("dl").append(term, text);
}
