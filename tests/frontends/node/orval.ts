// A frontend with the client that orval generates.
import { createTask, listTasks, refreshTokens, signUp, type TaskRead } from "./orval/api.js";

declare const process: { argv: string[] };
const [, , email, password] = process.argv as [string, string, string, string];

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const signedUp = await signUp({ email, password });
check(signedUp.status === 201, "sign-up");
const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });

const made = await createTask({ title: "Water the plants", priority: "high" }, bearer(signedUp.data.access_token));
check(made.status === 201, "create");
const task: TaskRead = made.data;
check(task.status === "pending" && task.priority === "high", "enums");

const refreshed = await refreshTokens({ refresh_token: signedUp.data.refresh_token });
check(refreshed.status === 200, "refresh");
const { access_token } = refreshed.data;

const listed = await listTasks({ completed: false, sort: "title", limit: 10 }, bearer(access_token));
check(listed.status === 200 && listed.data.length === 1, "list");
const refused = await createTask({ title: " " }, bearer(access_token));
check(refused.status === 422 && refused.data.errors?.[0]?.field === "title", "422 is typed");
console.log("done");
