import { showConflicts } from "./conflicts.js";
import { createDeletions, UNDO_MS } from "./deletions.js";
import { find, fromTemplate, showError } from "./forms.js";
import { plainly } from "./messages.js";
import { createRow } from "./row.js";
import { toast } from "./toasts.js";

const PAGE_SIZE = 200;
const LONGEST_WAIT_MS = 10_000;
const LATE_MS = 3000;
const RANK = { high: 0, medium: 1, low: 2 };
const SORTS = {
  newest: (one, other) => (one.version > 0) - (other.version > 0), // as the copy has them, what is not sent yet first
  priority: (one, other) => RANK[one.priority] - RANK[other.priority],
  title: (one, other) => one.title.localeCompare(other.title),
};
const FILTERS = {
  all: { has: () => true, empty: "Nothing to do. Add your first task." },
  active: { has: (task) => !task.completed, empty: "All done." },
  completed: { has: (task) => task.completed, empty: "Nothing is completed yet." },
};

/** Shows the tasks of a copy until it is closed, in all windows as they are now, with or without a network. */
export function openList(copy) {
  find("tasks").replaceChildren(fromTemplate("task-list"));
  bindNew(copy);
  const rows = new Map();
  const deletions = createDeletions(copy, () => void draw());
  let filter = "all";
  let most = PAGE_SIZE;
  let isLoaded = false; // until then an empty copy is no empty list
  let isOffline = false;
  let undoLast = () => {};
  const stop = new AbortController();
  const { signal } = stop;

  // One after the other, however often something changes.
  let isStale = false;
  let drawing = null;
  function draw() {
    isStale = true;
    drawing ??= drawAll()
      .catch((error) => {
        if (!signal.aborted) throw error; // or the list was closed meanwhile
      })
      .finally(() => (drawing = null));
    return drawing;
  }
  async function drawAll() {
    while (isStale) {
      isStale = false;
      const [tasks, changes, conflicts] = await Promise.all([copy.list(), copy.changes(), copy.conflicts()]);
      if (signal.aborted) return;
      drawTasks(tasks.filter(({ id }) => !deletions.isHidden(id)));
      drawSync(changes.length);
      await showConflicts(copy, conflicts);
    }
  }

  function drawTasks(tasks) {
    const searched = find("search").value.trim().toLowerCase();
    const order = SORTS[find("sort").value];
    const found = tasks
      .filter((task) => FILTERS[filter].has(task) && task.title.toLowerCase().includes(searched))
      .sort((one, other) => one.completed - other.completed || order(one, other));
    const isEmpty = tasks.length === 0;
    find("tools").hidden = isEmpty;
    find("empty").hidden = found.length > 0;
    find("empty").textContent =
      !isLoaded && isEmpty ? (isOffline ? "You are offline, and this browser has no tasks of yours yet." : "Loading …")
      : searched ? "No task has this in its title."
      : FILTERS[isEmpty ? "all" : filter].empty;
    const left = tasks.filter((task) => !task.completed).length;
    find("left").textContent = `${left} left`;
    document.title = left ? `(${left}) Tasks` : "Tasks";
    find("more").hidden = found.length <= most;
    place(found.slice(0, most));
  }

  /** Puts the rows of these tasks into their order; one that is being edited stays where it is. */
  function place(tasks) {
    const list = find("list");
    const ids = new Set(tasks.map(({ id }) => id));
    for (const [id, row] of rows) {
      if (ids.has(id) || row.isEditing()) continue;
      row.element.remove();
      rows.delete(id);
    }
    const focused = document.activeElement;
    tasks.forEach((task, at) => {
      const row = rows.get(task.id) ?? createRow(copy, remove);
      rows.set(task.id, row);
      row.show(task);
      if (list.children[at] !== row.element) list.insertBefore(row.element, list.children[at] ?? null);
    });
    if (focused !== document.activeElement && list.contains(focused)) focused.focus(); // moving it took the focus
  }

  function drawSync(waiting) {
    const changes = waiting === 1 ? "1 change waits" : `${waiting} changes wait`;
    const away = navigator.onLine ? "No connection" : "Offline";
    const sign = find("sync");
    sign.dataset.is = isOffline ? "offline" : waiting ? "sending" : "";
    clearTimeout(late);
    if (waiting && !isOffline) late = setTimeout(catchUp, LATE_MS);
    sign.textContent = isOffline ? (waiting ? `${away} – ${changes}` : away) : waiting ? "Sending …" : "";
  }

  function remove(task, element) {
    const next = element.nextElementSibling ?? element.previousElementSibling;
    deletions.remove(task);
    (next?.querySelector("input") ?? find("new").elements.title).focus();
    const undo = () => {
      deletions.undo(task.id);
      void drawing?.then(() => rows.get(task.id)?.element.querySelector("input").focus());
    };
    const close = toast(`“${shortened(task.title)}” is deleted.`, { action: "Undo", onAction: undo, ms: UNDO_MS });
    undoLast = () => {
      if (!deletions.isHidden(task.id)) return; // it is undone, or its time is over
      close();
      undo();
    };
  }

  // One window holds the stream and sends what waits. If the browser has stopped that one, each looks after itself.
  let late;
  const catchUp = () => void copy.sync().catch(() => {});
  document.addEventListener("visibilitychange", () => document.hidden || catchUp(), { signal });

  // What is heard from outside.
  const setOffline = (is) => ((isOffline = is), void draw());
  const windows = new BroadcastChannel("connection"); // whose stream it is tells the others how it goes
  windows.onmessage = ({ data }) => setOffline(data);
  const onState = (state) => (windows.postMessage(state === "waiting"), setOffline(state === "waiting"));
  addEventListener("offline", () => setOffline(true), { signal });
  addEventListener("online", () => setOffline(false), { signal });
  document.addEventListener(
    "keydown",
    (event) => {
      const isUndo = event.key === "z" && (event.ctrlKey || event.metaKey);
      if (isUndo && !event.target.matches("input:not([type=checkbox]), textarea")) undoLast();
    },
    { signal },
  );
  find("search").addEventListener("input", () => void draw(), { signal });
  find("sort").addEventListener("change", () => void draw(), { signal });
  find("more").addEventListener("click", () => ((most += PAGE_SIZE), void draw()), { signal });
  copy.onChange(() => void draw());
  copy.follow({ onState });
  isOffline = !navigator.onLine;
  copy.sync().catch(() => setOffline(true)).finally(() => ((isLoaded = true), void draw()));
  void draw();

  return {
    copy,
    setFilter(name) {
      filter = name;
      for (const link of find("filters").children) link.ariaCurrent = link.hash === `#${name}` ? "true" : null;
      void draw();
    },
    /** How many changes the service does not have yet, once it was asked to take them. */
    async waiting() {
      await deletions.finish();
      const late = new Promise((done) => setTimeout(done, LONGEST_WAIT_MS));
      if (!isOffline) await Promise.race([copy.sync(), late]).catch(() => {});
      return (await copy.changes()).length;
    },
    /** Deletes what this browser has of the tasks. */
    delete: () => (deletions.clear(), copy.delete()),
    close() {
      stop.abort();
      clearTimeout(late);
      windows.close();
      deletions.close();
      copy.close();
      find("tasks").replaceChildren(); // what was typed and chosen, too
      find("sync").textContent = "";
      document.title = "Tasks";
    },
  };
}

const shortened = (text) => (text.length > 30 ? `${text.slice(0, 30)}…` : text);

/** The form above the list. The copy has a new task at once, so there is nothing to wait for. */
function bindNew(copy) {
  const form = find("new");
  const field = form.elements.title;
  form.noValidate = true;
  field.oninput = () => showError(form, "");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const title = field.value.trim();
    const priority = form.elements.priority.value;
    if (!title) return showError(form, "What is to be done?", field);
    form.reset();
    field.focus();
    try {
      await copy.create({ title, priority });
    } catch (error) {
      field.value = title; // as when the disk is full
      showError(form, plainly(error), field);
    }
  };
}
