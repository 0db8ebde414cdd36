import type { TaskRead } from "./api.js";

/** A task of a copy; `pending` where the service does not have all of it yet. */
export type LocalTask = TaskRead & { pending?: boolean };

/** What can be written of a task. `completed` is written as a status. */
const FIELDS = ["title", "description", "priority", "status"] as const;
export type Fields = Partial<Pick<TaskRead, (typeof FIELDS)[number]>>;
export type Edit = Fields & { completed?: boolean };

/** A change that waits for the service: `fields` are wanted, `before` is what they were, in that `version`. */
export interface Change {
  number: number;
  kind: "create" | "edit" | "delete";
  id: string;
  version: number;
  fields: Fields;
  before: Fields;
  made_at: string;
  /** The idempotency key of a new task. */
  key: string | null;
  /** Whether the service may have it already. */
  sent: boolean;
}

/** A change that the service did not take, and why, in a sentence. `task` is how the task looked with it. */
export interface Conflict {
  number: number;
  kind: Change["kind"];
  task: Fields & { id: string };
  fields: Fields;
  reason: string;
}

export const picked = (task: Edit): Fields =>
  Object.fromEntries(FIELDS.filter((name) => task[name] !== undefined).map((name) => [name, task[name]]));

/**
 * The fields as states that can be sent twice: `completed` becomes the status that it stands for. Of a `completed` and a
 * `status` that contradict each other, the one that differs from the task counts, as on the server.
 */
export function wanted(edit: Edit, task?: LocalTask): Fields {
  const given = picked(edit);
  const { completed } = edit;
  if (completed === undefined) return given;
  const stored = task ? task.status : "pending";
  if (given.status) {
    const agree = completed === (given.status === "completed");
    if (agree || (task && completed === (stored === "completed"))) return given;
    if (!task || given.status !== stored) throw new TypeError("`completed` contradicts `status`");
  }
  return { ...given, status: completed ? "completed" : stored === "completed" ? "pending" : stored };
}

/** The service's tasks, by id, as they are once all changes are made. */
export function withChanges(tasks: TaskRead[], changes: Change[], user_id: string): Map<string, LocalTask> {
  const shown = new Map<string, LocalTask>(tasks.map((task) => [task.id, task]));
  for (const { kind, id, fields, made_at } of changes) {
    let task = shown.get(id);
    if (kind === "create") task ??= { ...EMPTY, id, user_id, created_at: made_at, updated_at: made_at };
    if (kind === "delete" || !task) {
      shown.delete(id); // or somebody has deleted it elsewhere
      continue;
    }
    task = { ...task, ...fields, pending: true };
    shown.set(id, { ...task, completed: task.status === "completed" });
  }
  return shown;
}

const EMPTY = {
  title: "",
  description: null,
  completed: false,
  status: "pending",
  priority: "medium",
  version: 0,
} as const;

/** What passes the filters, as the service sorts it. */
export function newestFirst(tasks: Iterable<LocalTask>, { status, q }: { status?: string; q?: string }): LocalTask[] {
  const searched = (text: string) => text.normalize("NFC").toLowerCase();
  const place = (task: LocalTask) => task.created_at + task.id;
  return [...tasks]
    .filter((task) => (!status || task.status === status) && (!q || searched(task.title).includes(searched(q))))
    .sort((one, other) => (place(one) < place(other) ? 1 : -1));
}

export const has = (task: TaskRead, fields: Fields) =>
  Object.entries(fields).every(([name, value]) => task[name as keyof Fields] === value);

/** Whether nobody else has changed what this change is about. A field that its copy did not have was empty. */
export const isUntouched = (task: TaskRead, { before, fields }: Change) =>
  (Object.keys(fields) as (keyof Fields)[]).every((name) =>
    [before[name] ?? null, fields[name]].includes(task[name] as never),
  );
