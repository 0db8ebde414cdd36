import { ApiError } from "./errors.js";
import { randomKey } from "./random.js";
/** The operations of tasks, by what sends a token, and the same for the JSON alone. */
export function createTasks(send, request) {
    const taskPath = (id) => `/api/tasks/${encodeURIComponent(id)}`;
    return {
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
                const now = wasLost(error, "TASK_CHANGED") && (await request("GET", taskPath(id)));
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
}
const wasLost = (error, code) => error instanceof ApiError && error.code === code && error.wasLost;
const target = (which) => typeof which === "string" ? [which, {}] : [which.id, { "If-Match": `"${which.version}"` }];
