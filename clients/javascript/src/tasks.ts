import type { TaskCreate, TaskRead, TaskUpdate } from "./api.js";
import { ApiError } from "./errors.js";
import type { Answer, Options } from "./http.js";
import { randomKey } from "./random.js";

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

type Call<T> = (method: string, path: string, options?: Options) => Promise<T>;

/** The operations of tasks, by what sends a token, and the same for the JSON alone. */
export function createTasks(send: Call<Answer>, request: Call<any>): Tasks {
  const taskPath = (id: string) => `/api/tasks/${encodeURIComponent(id)}`;
  return {
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
        const now = wasLost(error, "TASK_CHANGED") && (await request("GET", taskPath(id)));
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
}

const wasLost = (error: unknown, code: string) =>
  error instanceof ApiError && error.code === code && error.wasLost;

const target = (which: Which): [string, Record<string, string>] =>
  typeof which === "string" ? [which, {}] : [which.id, { "If-Match": `"${which.version}"` }];
