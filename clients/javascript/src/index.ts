import { AUTH, type Auth, type TaskRead, type UserRead } from "./api.js";
import { createSend, type Answer, type Options } from "./http.js";
import { createSession, type Session, type Store } from "./session.js";
import { createTasks, type Tasks } from "./tasks.js";

export type * from "./api.js";
export { ApiError, OtherAccount } from "./errors.js";
export type { Answer, Options } from "./http.js";
export type { Reason, Session, SessionChange, Store } from "./session.js";
export type { TaskFilters, Tasks, Which } from "./tasks.js";
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
  const { session, withToken, signOut, updateUser } = createSession(plain, base, where, timeout);

  const send: Client["send"] = (method, path, { as, ...options } = {}) =>
    withToken((token) => plain(method, path, options, token), as);

  const request: Client["request"] = async (...sent) => (await send(...sent)).content;

  function operation(row: string) {
    const [method, path, marks = ""] = row.split(" ") as [string, string, string?];
    return async (...sent: any[]) => {
      const full = "/api/auth/" + path.replace("{}", () => encodeURIComponent(sent.shift()));
      const [body] = sent;
      let who: string | undefined; // whose token was sent
      const ask = async (token?: string) => {
        who = session.user?.id;
        if (marks.includes("+")) return session.begin(full, body, token);
        return (await plain(method, full, { body }, token)).content;
      };
      const content = await (marks.includes("*") ? withToken(ask) : ask());
      if (marks.includes("-") || content?.email) await updateUser(who, content);
      return content;
    };
  }
  const auth = {} as Record<string, unknown>;
  for (const [name, row] of Object.entries(AUTH)) auth[name] = operation(row);
  const tasks = createTasks(send, request);

  return { url: base, auth: { ...auth, signOut } as unknown as Auth, session, tasks, request, send };
}
