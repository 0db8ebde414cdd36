import { fromTemplate, onSubmit, showError } from "./forms.js";
import { plainly } from "./messages.js";
import { toast } from "./toasts.js";

const PRIORITIES = { high: "High priority", medium: "", low: "Low priority" };

/** One task of the list: `show` gives it another state, `element` is its place. What is done to it goes into the copy. */
export function createRow(copy, onDelete) {
  const element = fromTemplate("task");
  const row = element.querySelector(".row");
  const form = element.querySelector("form");
  const box = row.querySelector("input");
  const [text, remove] = row.querySelectorAll("button");
  const part = (name) => row.querySelector(`.${name}`);
  let task;
  let opened = null; // the task as it was when it was opened to be edited

  function show(now) {
    if (JSON.stringify(now) === JSON.stringify(task)) return;
    task = now;
    box.checked = task.completed;
    box.ariaLabel = task.title;
    part("title").textContent = task.title;
    part("description").textContent = task.description ?? "";
    part("priority").textContent = PRIORITIES[task.priority];
    part("pending").textContent = task.pending ? "Not sent yet" : "";
    remove.ariaLabel = `Delete ${task.title}`;
    Object.assign(element.dataset, { priority: task.priority, completed: task.completed, pending: !!task.pending });
  }

  function setEditing(isEditing) {
    opened = isEditing ? task : null;
    row.hidden = isEditing;
    form.hidden = !isEditing;
    if (isEditing) showError(form, "");
    for (const name of ["title", "description", "priority"])
      if (isEditing) form.elements[name].value = task[name] ?? "";
    (isEditing ? form.elements.title : text).focus();
  }

  // The wanted state, not a toggle: it can be sent again.
  box.onchange = () =>
    copy.edit(task.id, { completed: box.checked }).catch((error) => {
      box.checked = task.completed;
      toast(plainly(error), { isError: true });
    });
  text.onclick = () => setEditing(true);
  remove.onclick = () => onDelete(task, element);
  form.elements.cancel.onclick = () => setEditing(false);
  form.onkeydown = (event) => {
    if (event.key === "Escape") setEditing(false);
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  };
  onSubmit(form, async ({ title, ...more }) => {
    const wanted = { title, ...more, description: more.description || null };
    const changed = Object.keys(wanted).filter((name) => wanted[name] !== opened[name]);
    const theirs = changed.find((name) => task[name] !== opened[name] && task[name] !== wanted[name]);
    if (theirs) {
      // Nobody overwrites what they have not seen.
      opened = task;
      throw new Error(`Meanwhile it was changed elsewhere to “${task[theirs] ?? ""}”. Save again to replace that.`);
    }
    await copy.edit(task.id, Object.fromEntries(changed.map((name) => [name, wanted[name]])));
    setEditing(false);
  });

  return { element, show, isEditing: () => opened !== null };
}
