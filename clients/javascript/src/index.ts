import { AUTH, type Auth, type TaskCreate, type TaskRead, type TaskUpdate, type UserRead } from "./api.js";
import { ApiError } from "./errors.js";
import { createSend, type Answer, type Options } from "./http.js";
import { randomKey } from "./random.js";
import { createSession, type Session, type Store } from "./session.js";

export type * from "./api.js";
export { ApiError, OtherAccount } from "./errors.js";
export type { Answer, Options } from "./http.js";
export type { Reason, Session, SessionChange, Store } from "./session.js";
export type Task = TaskRead;
export type User = UserRead;

export interface ClientOptions {
  /** Where the refresh token is kept: in a cookie that no script can read, for which page and service must be of one
   * site; in `localStorage`; or in a store of your own. Where there is none, in memory. */
  session?: "cookie" | "storage" | Store;
  fetch?: typeof fetch;
  /** Milliseconds for an answer; also the longest `Retry-After` that is waited out. */
  timeout?: number;
}

export interface RequestOptions extends Options {
  /** The id of the account that this is meant for: another one is `OtherAccount`. */
  as?: string;
}

export interface TaskFilters {
  completed?: boolean;
  status?: TaskRead["status"];
  priority?: TaskRead["priority"];
  /** A part of the title. */
  q?: string;
  sort?: "created_at" | "updated_at" | "priority" | "title";
  order?: "asc" | "desc";
  /** How many at a time, 1 to 100. */
  limit?: number;
}

/** An id, or a task as it was seen: if somebody has changed it since, the error has the code `TASK_CHANGED`. */
export type Which = string | { id: string; version: number };

export interface Tasks {
  /** One task after another, a page at a time. */
  list(filters?: TaskFilters): AsyncGenerator<TaskRead, void, void>;
  /** With a key of your own it can be asked for again later. */
  create(task: TaskCreate, key?: string): Promise<TaskRead>;
  get(id: string): Promise<TaskRead>;
  /** Give a task these fields; what is not named stays as it is. */
  update(which: Which, fields: TaskUpdate): Promise<TaskRead>;
  remove(which: Which): Promise<void>;
}

export interface Client {
  readonly url: string;
  readonly auth: Auth;
  readonly session: Session;
  readonly tasks: Tasks;
  /** Any other operation: its JSON. */
  request<T>(method: string, path: string, options?: RequestOptions): Promise<T>;
  /** The same with headers, and with `stream` an unread body. */
  send(method: string, path: string, options?: RequestOptions): Promise<Answer>;
}

/**
 * A client of the service at `url`; "" is the page's own origin. Calls that meet an expired access token share one
 * refresh, any number of tabs stay signed in together, and a lost answer signs nobody out.
 */
export function createClient(url: string, options: ClientOptions = {}): Client {
  const { session: where = "storage", fetch: fetcher = (...sent) => fetch(...sent), timeout = 10_000 } = options;
  const base = url.replace(/\/+$/, "");
  const plain = createSend(base, fetcher, timeout, where === "cookie");
  const { session, withToken, begin, signOut, forget, updateUser } = createSession(plain, base, where);

  const send: Client["send"] = (method, path, { as, ...options } = {}) =>
    withToken((token) => plain(method, path, options, token), as);

  const request: Client["request"] = async (...sent) => (await send(...sent)).content;

  function operation(row: string) {
    const [method, path, marks = ""] = row.split(" ") as [string, string, string?];
    return async (...sent: any[]) => {
      const full = "/api/auth/" + path.replace("{}", () => encodeURIComponent(sent.shift()));
      const [body] = sent;
      const isOurs = marks.includes("*");
      if (marks.includes("+")) return isOurs ? withToken((token) => begin(full, body, token)) : begin(full, body);
      const { content } = await (isOurs ? send : plain)(method, full, { body });
      if (marks.includes("-")) await forget("user");
      if (content?.email) await updateUser(content);
      return content;
    };
  }
  const auth = {} as Record<string, unknown>;
  for (const [name, row] of Object.entries(AUTH)) auth[name] = operation(row);
  auth["signOut"] = signOut;

  const taskPath = (id: string) => `/api/tasks/${encodeURIComponent(id)}`;
  const tasks: Tasks = {
    async *list(filters) {
      let query: string | undefined = String(new URLSearchParams({ limit: "100", ...filters } as {}));
      do {
        const { content, headers }: Answer = await send("GET", `/api/tasks?${query}`);
        yield* content as TaskRead[];
        query = /\?([^>]*)>; *rel="?next/.exec(headers.get("Link") ?? "")?.[1];
      } while (query);
    },
    create: (body, key = randomKey()) => request("POST", "/api/tasks", { body, headers: { "Idempotency-Key": key } }),
    get: (id) => request("GET", taskPath(id)),
    async update(which, body) {
      const [id, headers] = target(which);
      try {
        return await request("PATCH", taskPath(id), { body, headers, again: true });
      } catch (error) {
        // The answer to an attempt before was lost: what has changed the task may be that.
        const now = wasLost(error, "TASK_CHANGED") && ((await tasks.get(id)) as any);
        if (now && Object.entries(body).every(([name, value]) => now[name] === value)) return now;
        throw error;
      }
    },
    async remove(which) {
      const [id, headers] = target(which);
      try {
        await send("DELETE", taskPath(id), { headers });
      } catch (error) {
        if (!wasLost(error, "TASK_NOT_FOUND")) throw error;
      }
    },
  };
  return { url: base, auth: auth as unknown as Auth, session, tasks, request, send };
}

const wasLost = (error: unknown, code: string) =>
  error instanceof ApiError && error.code === code && error.wasLost;

const target = (which: Which): [string, Record<string, string>] =>
  typeof which === "string" ? [which, {}] : [which.id, { "If-Match": `"${which.version}"` }];
