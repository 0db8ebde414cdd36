import { useMemo, useSyncExternalStore } from "react";
import type { Client, Reason, Task, TaskCreate, TaskUpdate, User } from "./index.js";
import type { Copy, LocalTask } from "./offline.js";
import { ApiError } from "./errors.js";
import { randomKey } from "./random.js";
import { uuid5 } from "./uuid5.js";

export interface SessionState {
  /** `loading` on a server, and until the store has been read. */
  state: "loading" | "signed-in" | "signed-out";
  user: User | null;
  /** Why nobody is signed in any more. */
  reason: Reason | null;
}

export interface TaskListState {
  /** As they are once everything that waits is done, newest first. */
  tasks: LocalTask[];
  isLoading: boolean;
  /** Of the last thing that was tried, and was taken back. */
  error: Error | null;
}

export interface TaskList extends TaskListState {
  /** The task, or null if it was taken back; `error` says why. So for the next two. */
  create(fields: TaskCreate): Promise<LocalTask | null>;
  update(id: string, fields: TaskUpdate): Promise<LocalTask | null>;
  remove(id: string): Promise<boolean>;
  reload(): Promise<void>;
}

interface External<T> {
  subscribe(listener: () => void): () => void;
  snapshot(): T;
}

/** One store for each client or copy, however many components look at it. */
function oneEach<K extends object, V>(make: (of: K) => V): (of: K) => V {
  const made = new WeakMap<K, V>();
  return (of) => made.get(of) ?? (made.set(of, make(of)), made.get(of)!);
}

const LOADING: SessionState = { state: "loading", user: null, reason: null };

const sessionOf = oneEach(({ session }: Client): External<SessionState> => {
  let isReady = false;
  let last = LOADING;
  return {
    subscribe(listener) {
      void session.ready.then(() => ((isReady = true), listener()));
      return session.onChange(listener);
    },
    snapshot() {
      const { user, reason } = session;
      const state = user ? "signed-in" : isReady ? "signed-out" : "loading";
      if (last.state !== state || last.user !== user || last.reason !== reason) last = { state, user, reason };
      return last;
    },
  };
});

/** Who is signed in, in this tab and in all others. */
export function useSession(client: Client): SessionState {
  const { subscribe, snapshot } = sessionOf(client);
  return useSyncExternalStore(subscribe, snapshot, () => LOADING);
}

/** Who is signed in; null for nobody, and while it is not known. */
export const useUser = (client: Client): User | null => useSession(client).user;

/**
 * All tasks, and what can be done to them, which is seen at once. What the service refuses is taken back. `initial` is
 * what a server has rendered.
 */
export function useTasks(source: Client | Copy, initial?: Task[]): TaskList {
  const list = "follow" in source ? copiedTasks(source) : remoteTasks(source);
  const first = useMemo(() => ({ tasks: initial ?? [], isLoading: !initial, error: null }), [initial]);
  const state = useSyncExternalStore<TaskListState>(list.subscribe, list.snapshot, () => first);
  const isFirst = state.isLoading && !state.tasks.length && initial;
  const { create, update, remove, reload } = list;
  return { ...(isFirst ? first : state), create, update, remove, reload };
}

type Actions = Pick<TaskList, "create" | "update" | "remove" | "reload">;

/** What both lists have: somebody listens or nobody does, and a state that is replaced. */
function createState(onFirst: () => () => void) {
  let state: TaskListState = { tasks: [], isLoading: true, error: null };
  let onLast = () => {};
  const listeners = new Set<() => void>();
  return {
    set(more: Partial<TaskListState>) {
      state = { ...state, ...more };
      for (const listener of [...listeners]) listener();
    },
    snapshot: () => state,
    subscribe(listener: () => void) {
      if (!listeners.size) onLast = onFirst();
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (!listeners.size) onLast();
      };
    },
  };
}

const copiedTasks = oneEach((copy: Copy): External<TaskListState> & Actions => {
  const reload = async () => state.set({ tasks: await copy.list(), isLoading: false });
  const state = createState(() => {
    void reload();
    return copy.onChange(() => void reload());
  });
  async function tried<T>(work: Promise<T>): Promise<T | null> {
    try {
      const done = await work;
      state.set({ error: null });
      return done;
    } catch (error) {
      state.set({ error: error as Error });
      return null;
    }
  }
  return {
    ...state,
    reload,
    create: (fields) => tried(copy.create(fields)),
    update: (id, fields) => tried(copy.edit(id, fields)),
    remove: async (id) => (await tried(copy.remove(id).then(() => true))) ?? false,
  };
});

/** Something that was done and is not answered yet; `version` is that of the task which it was done to. */
interface Waiting {
  id: string;
  version: number;
  apply(tasks: LocalTask[]): LocalTask[];
}

const without = (tasks: LocalTask[], id: string) => tasks.filter((task) => task.id !== id);
const withTask = (tasks: LocalTask[], task: LocalTask) =>
  tasks.some(({ id }) => id === task.id) ? tasks.map((it) => (it.id === task.id ? task : it)) : [task, ...tasks];

const remoteTasks = oneEach((client: Client): External<TaskListState> & Actions => {
  let known: Task[] = [];
  let waiting: Waiting[] = [];
  let writes = 0;
  let owner: string | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const show = (more: Partial<TaskListState> = {}) =>
    state.set({ ...more, tasks: waiting.reduce((tasks, { apply }) => apply(tasks), known as LocalTask[]) });

  async function reload() {
    await client.session.ready;
    const user = client.session.user?.id;
    if (user !== owner) [known, waiting] = [[], []];
    owner = user;
    show({ isLoading: !!user });
    if (!user) return;
    try {
      for (let before = -1; before !== writes; ) {
        before = writes; // what is answered meanwhile may not be in the list yet
        const found = await client.request<Task[]>("GET", "/api/tasks", { as: user });
        if (user !== owner) return;
        if (before === writes) known = found;
      }
      show({ isLoading: false });
    } catch (error) {
      show({ isLoading: false, error: error as Error });
    }
  }
  const state = createState(() => {
    void reload();
    return client.session.onChange(() => client.session.user?.id !== owner && void reload());
  });

  /** Show it at once, send it when all before it is answered, and take it back if it is refused. */
  async function run<T>(
    id: string,
    apply: Waiting["apply"],
    send: (version: number) => Promise<T>,
    settle: (answer: T) => Task[],
  ): Promise<T | null> {
    const it: Waiting = { id, version: known.find((task) => task.id === id)?.version ?? 0, apply };
    waiting = [...waiting, it];
    show({ error: null });
    const mine = owner;
    const sent = last.then(() => send(it.version));
    last = sent.catch(() => {});
    try {
      const answer = await sent;
      writes++;
      if (mine !== owner) return answer;
      known = settle(answer);
      const version = known.find((task) => task.id === id)?.version ?? 0;
      waiting = waiting.filter((other) => other !== it);
      for (const other of waiting) if (other.id === id && other.version === it.version) other.version = version;
      show();
      return answer;
    } catch (error) {
      if (mine !== owner) return null;
      waiting = waiting.filter((other) => other !== it);
      show({ error: error as Error });
      if (error instanceof ApiError && ["TASK_CHANGED", "TASK_NOT_FOUND"].includes(error.code!)) void reload();
      return null;
    }
  }

  return {
    ...state,
    reload,
    create(fields) {
      const key = randomKey();
      const id = uuid5(owner ?? client.session.user?.id ?? "", key); // as the service makes it
      const as = owner ?? client.session.user?.id; // whoever signs in before it is sent does not get it
      const options = { body: fields, headers: { "Idempotency-Key": key }, ...(as && { as }) };
      const task = { ...EMPTY, ...fields, id, user_id: owner ?? "", pending: true };
      task.completed = task.status === "completed";
      return run(
        id,
        (tasks) => withTask(tasks, task),
        () => client.request<Task>("POST", "/api/tasks", options),
        (made) => withTask(known, made),
      );
    },
    update: (id, fields) =>
      run(
        id,
        (tasks) => tasks.map((task) => (task.id === id ? changed(task, fields) : task)),
        (version) => client.tasks.update({ id, version }, fields),
        (made) => withTask(known, made),
      ),
    remove: async (id) =>
      (await run(
        id,
        (tasks) => without(tasks, id),
        (version) => client.tasks.remove({ id, version }).then(() => true),
        () => without(known, id),
      )) ?? false,
  };
});

const EMPTY = {
  title: "",
  description: null,
  completed: false,
  status: "pending" as Task["status"],
  priority: "medium" as const,
  version: 0,
  created_at: "",
  updated_at: "",
};

function changed(task: LocalTask, fields: TaskUpdate): LocalTask {
  const { version: _, ...given } = fields;
  const status = given.status ?? (given.completed === undefined || given.completed === task.completed
    ? task.status
    : given.completed ? "completed" : "pending");
  return { ...task, ...given, status, completed: status === "completed", pending: true };
}
