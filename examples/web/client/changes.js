/** What can be written of a task. `completed` is written as a status. */
const FIELDS = ["title", "description", "priority", "status"];
export const picked = (task) => Object.fromEntries(FIELDS.filter((name) => task[name] !== undefined).map((name) => [name, task[name]]));
/**
 * The fields as states that can be sent twice: `completed` becomes the status that it stands for. Of a `completed` and a
 * `status` that contradict each other, the one that differs from the task counts, as on the server.
 */
export function wanted(edit, task) {
    const given = picked(edit);
    const { completed } = edit;
    if (completed === undefined)
        return given;
    const stored = task ? task.status : "pending";
    if (given.status) {
        const agree = completed === (given.status === "completed");
        if (agree || (task && completed === (stored === "completed")))
            return given;
        if (!task || given.status !== stored)
            throw new TypeError("`completed` contradicts `status`");
    }
    return { ...given, status: completed ? "completed" : stored === "completed" ? "pending" : stored };
}
/** The service's tasks, by id, as they are once all changes are made. */
export function withChanges(tasks, changes, user_id) {
    const shown = new Map(tasks.map((task) => [task.id, task]));
    for (const { kind, id, fields, made_at } of changes) {
        let task = shown.get(id);
        if (kind === "create")
            task ??= { ...EMPTY, id, user_id, created_at: made_at, updated_at: made_at };
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
};
/** What passes the filters, as the service sorts it. */
export function newestFirst(tasks, { status, q }) {
    const searched = (text) => text.normalize("NFC").toLowerCase();
    const place = (task) => task.created_at + task.id;
    return [...tasks]
        .filter((task) => (!status || task.status === status) && (!q || searched(task.title).includes(searched(q))))
        .sort((one, other) => (place(one) < place(other) ? 1 : -1));
}
export const has = (task, fields) => Object.entries(fields).every(([name, value]) => task[name] === value);
/** Whether nobody else has changed what this change is about. A field that its copy did not have was empty. */
export const isUntouched = (task, { before, fields }) => Object.keys(fields).every((name) => [before[name] ?? null, fields[name]].includes(task[name]));
