import { AUTH } from "./api.js";
import { ApiError } from "./errors.js";
import { createSend } from "./http.js";
import { randomKey } from "./random.js";
import { createSession } from "./session.js";
export { ApiError, OtherAccount } from "./errors.js";
/**
 * A client of the service at `url`; "" is the page's own origin. Calls that meet an expired access token share one
 * refresh, any number of tabs stay signed in together, and a lost answer signs nobody out.
 */
export function createClient(url, options = {}) {
    const { session: where = "storage", fetch: fetcher = (...sent) => fetch(...sent), timeout = 10_000 } = options;
    const base = url.replace(/\/+$/, "");
    const plain = createSend(base, fetcher, timeout, where === "cookie");
    const { session, withToken, begin, signOut, forget, updateUser } = createSession(plain, base, where);
    const send = (method, path, { as, ...options } = {}) => withToken((token) => plain(method, path, options, token), as);
    const request = async (...sent) => (await send(...sent)).content;
    function operation(row) {
        const [method, path, marks = ""] = row.split(" ");
        return async (...sent) => {
            const full = "/api/auth/" + path.replace("{}", () => encodeURIComponent(sent.shift()));
            const [body] = sent;
            const isOurs = marks.includes("*");
            if (marks.includes("+"))
                return isOurs ? withToken((token) => begin(full, body, token)) : begin(full, body);
            const { content } = await (isOurs ? send : plain)(method, full, { body });
            if (marks.includes("-"))
                await forget("user");
            if (content?.email)
                await updateUser(content);
            return content;
        };
    }
    const auth = {};
    for (const [name, row] of Object.entries(AUTH))
        auth[name] = operation(row);
    auth["signOut"] = signOut;
    const taskPath = (id) => `/api/tasks/${encodeURIComponent(id)}`;
    const tasks = {
        async *list(filters) {
            let query = String(new URLSearchParams({ limit: "100", ...filters }));
            do {
                const { content, headers } = await send("GET", `/api/tasks?${query}`);
                yield* content;
                query = /\?([^>]*)>; *rel="?next/.exec(headers.get("Link") ?? "")?.[1];
            } while (query);
        },
        create: (body, key = randomKey()) => request("POST", "/api/tasks", { body, headers: { "Idempotency-Key": key } }),
        get: (id) => request("GET", taskPath(id)),
        async update(which, body) {
            const [id, headers] = target(which);
            try {
                return await request("PATCH", taskPath(id), { body, headers, again: true });
            }
            catch (error) {
                // The answer to an attempt before was lost: what has changed the task may be that.
                const now = wasLost(error, "TASK_CHANGED") && (await tasks.get(id));
                if (now && Object.entries(body).every(([name, value]) => now[name] === value))
                    return now;
                throw error;
            }
        },
        async remove(which) {
            const [id, headers] = target(which);
            try {
                await send("DELETE", taskPath(id), { headers });
            }
            catch (error) {
                if (!wasLost(error, "TASK_NOT_FOUND"))
                    throw error;
            }
        },
    };
    return { url: base, auth: auth, session, tasks, request, send };
}
const wasLost = (error, code) => error instanceof ApiError && error.code === code && error.wasLost;
const target = (which) => typeof which === "string" ? [which, {}] : [which.id, { "If-Match": `"${which.version}"` }];
