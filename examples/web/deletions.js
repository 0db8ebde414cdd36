/**
 * Deletions that can be undone: for some seconds the task is only hidden, then the copy deletes it. Until then they are
 * kept in localStorage, so that all windows hide the task, and one that is closed meanwhile loses no deletion.
 */
export const UNDO_MS = 7000;
const FIELDS = ["title", "description", "priority", "status"];

export function createDeletions(copy, onChange) {
  const prefix = `deleting ${copy.userId} `;
  const kept = () =>
    Object.keys(localStorage)
      .filter((name) => name.startsWith(prefix))
      .map((name) => [name.slice(prefix.length), JSON.parse(localStorage[name])]);
  let timer;

  function forget(id) {
    localStorage.removeItem(prefix + id);
    onChange();
  }

  /** Does what is due; all of it before somebody signs out. */
  async function finish(now = Date.now()) {
    for (const [id, { until, seen }] of kept()) {
      if (until > now) continue;
      const task = await copy.get(id);
      // Nobody deletes what they have not seen: what was changed elsewhere meanwhile comes back.
      const isAsSeen = task && FIELDS.every((name) => task[name] === seen[name]);
      if (isAsSeen) await copy.remove(id).catch(() => {}); // or another window has
      forget(id);
    }
    schedule();
  }

  function schedule() {
    clearTimeout(timer);
    const [next] = kept().sort(([, one], [, other]) => one.until - other.until);
    if (next) timer = setTimeout(() => finish().catch(() => {}), next[1].until - Date.now());
  }

  const onStorage = ({ key }) => {
    if (key && !key.startsWith(prefix)) return;
    schedule();
    onChange();
  };
  addEventListener("storage", onStorage);
  schedule();

  return {
    isHidden: (id) => localStorage.getItem(prefix + id) !== null,
    remove(task) {
      const seen = Object.fromEntries(FIELDS.map((name) => [name, task[name]]));
      localStorage.setItem(prefix + task.id, JSON.stringify({ until: Date.now() + UNDO_MS, seen }));
      schedule();
      onChange();
    },
    undo: forget,
    finish: () => finish(Infinity),
    clear: () => kept().forEach(([id]) => localStorage.removeItem(prefix + id)),
    close() {
      clearTimeout(timer);
      removeEventListener("storage", onStorage);
    },
  };
}
