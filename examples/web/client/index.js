import { AUTH } from "./api.js";
import { createSend } from "./http.js";
import { createSession } from "./session.js";
import { createTasks } from "./tasks.js";
export { ApiError, OtherAccount } from "./errors.js";
/**
 * A client of the service at `url`; "" is the page's own origin. Calls that meet an expired access token share one
 * refresh, any number of tabs stay signed in together, and a lost answer signs nobody out.
 */
export function createClient(url, options = {}) {
    const { session: where = "storage", fetch: fetcher = (...sent) => fetch(...sent), timeout = 10_000 } = options;
    const base = url.replace(/\/+$/, "");
    const plain = createSend(base, fetcher, timeout, where === "cookie");
    const { session, withToken, signOut, updateUser } = createSession(plain, base, where, timeout);
    const send = (method, path, { as, ...options } = {}) => withToken((token) => plain(method, path, options, token), as);
    const request = async (...sent) => (await send(...sent)).content;
    function operation(row) {
        const [method, path, marks = ""] = row.split(" ");
        return async (...sent) => {
            const full = "/api/auth/" + path.replace("{}", () => encodeURIComponent(sent.shift()));
            const [body] = sent;
            let who; // whose token was sent
            const ask = async (token) => {
                who = session.user?.id;
                if (marks.includes("+"))
                    return session.begin(full, body, token);
                return (await plain(method, full, { body }, token)).content;
            };
            const content = await (marks.includes("*") ? withToken(ask) : ask());
            if (marks.includes("-") || content?.email)
                await updateUser(who, content);
            return content;
        };
    }
    const auth = {};
    for (const [name, row] of Object.entries(AUTH))
        auth[name] = operation(row);
    const tasks = createTasks(send, request);
    return { url: base, auth: { ...auth, signOut }, session, tasks, request, send };
}
