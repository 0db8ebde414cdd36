import { createSend, type Answer, type Options } from "./http.js";
import { createTasks, type Tasks } from "./tasks.js";

export type * from "./api.js";
export { ApiError } from "./errors.js";
export type { Answer, Options } from "./http.js";
export type { TaskFilters, Tasks, Which } from "./tasks.js";

export interface ScriptOptions {
  fetch?: typeof fetch;
  /** Milliseconds for an answer; also the longest `Retry-After` that is waited out. */
  timeout?: number;
}

export interface ScriptClient {
  readonly url: string;
  readonly tasks: Tasks;
  /** Any other operation on tasks: its JSON. */
  request<T>(method: string, path: string, options?: Options): Promise<T>;
  /** The same with headers, and with `stream` an unread body. */
  send(method: string, path: string, options?: Options): Promise<Answer>;
}

/**
 * A client with a token of `auth.createToken`, for machines and page servers: nothing is stored or refreshed, and the
 * token is sent to the service at `url` alone. `INSUFFICIENT_SCOPE` says that it may not, 401 that it has ended.
 */
export function createScriptClient(url: string, token: string, options: ScriptOptions = {}): ScriptClient {
  // Anything else might be a password, and a line break would put it into the words of an error.
  if (!/^atk_[\w.-]+$/.test(token)) throw new TypeError("This is no script's token, which begins with atk_.");
  const { fetch: fetcher = (...sent) => fetch(...sent), timeout = 10_000 } = options;
  const base = url.replace(/\/+$/, "");
  const plain = createSend(base, (to, how) => fetcher(to, { ...how, redirect: "error" }), timeout, false);
  const send: ScriptClient["send"] = (method, path, more) => plain(method, path, more, token);
  const request: ScriptClient["request"] = async (...sent) => (await send(...sent)).content;
  return { url: base, tasks: createTasks(send, request), request, send };
}
