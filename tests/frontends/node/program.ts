// What a frontend does with the generated client; tsc --strict checks every path, body and answer in it.
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

type Task = components["schemas"]["TaskRead"];

const [, , baseUrl, email, password] = process.argv as [string, string, string, string, string];
const api = createClient<paths>({ baseUrl });

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const nobody = await api.GET("/api/tasks");
check(nobody.response.status === 401 && nobody.error?.code === "NOT_AUTHENTICATED", "401 is typed");

const signedUp = await api.POST("/api/auth/signup", { body: { email, password } });
check(signedUp.data !== undefined, "sign-up");
let tokens: components["schemas"]["TokenRead"] = signedUp.data;
const name: string | null = signedUp.data.user.name;
check(name === null, "no name");

const bearer: Middleware = {
  onRequest: ({ request }) => {
    request.headers.set("Authorization", `Bearer ${tokens.access_token}`);
    return request;
  },
};
api.use(bearer);

const made = await api.POST("/api/tasks", { body: { title: "Water the plants" } });
check(made.data !== undefined, "create");
const task: Task = made.data;
check(task.priority === "medium" && task.status === "pending", "defaults");

const at = { params: { path: { task_id: task.id } } };
const changed = await api.PATCH("/api/tasks/{task_id}", { ...at, body: { status: "in_progress" } });
check(changed.data?.version === 2, "update");
const toggled = await api.PATCH("/api/tasks/{task_id}/toggle", at);
check(toggled.data?.completed === true, "toggle");

const refused = await api.POST("/api/tasks", { body: { title: " " } });
check(refused.error?.errors?.[0]?.field === "title", "422 is typed");

const refreshed = await api.POST("/api/auth/refresh", { body: { refresh_token: tokens.refresh_token } });
check(refreshed.data !== undefined, "refresh");
tokens = refreshed.data;

const listed = await api.GET("/api/tasks", { params: { query: { limit: 10, sort: "title", completed: true } } });
check(listed.data?.length === 1 && listed.response.headers.get("X-Total-Count") === "1", "list");
const gone = await api.DELETE("/api/tasks/{task_id}", at);
check(gone.response.status === 204, "delete");
const missing = await api.GET("/api/tasks/{task_id}", at);
check(missing.error?.code === "TASK_NOT_FOUND", "404 is typed");
console.log("done");
