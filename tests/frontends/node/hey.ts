// A frontend with the client that @hey-api/openapi-ts generates.
import { client } from "./hey/client.gen.js";
import { createTask, listTasks, refreshTokens, signUp } from "./hey/sdk.gen.js";
import type { TaskRead } from "./hey/types.gen.js";

declare const process: { argv: string[] };
const [, , baseUrl, email, password] = process.argv as [string, string, string, string, string];

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

let token = "";
client.setConfig({ baseUrl, auth: () => token });

const signedUp = await signUp({ body: { email, password } });
check(signedUp.data !== undefined, "sign-up");
token = signedUp.data.access_token;

const made = await createTask({ body: { title: "Water the plants", priority: "high" }, headers: { "Idempotency-Key": "one" } });
check(made.data !== undefined, "create");
const task: TaskRead = made.data;
check(task.status === "pending" && task.priority === "high", "enums");

const refreshed = await refreshTokens({ body: { refresh_token: signedUp.data.refresh_token } });
check(refreshed.data !== undefined, "refresh");
token = refreshed.data.access_token;

const listed = await listTasks({ query: { completed: false, sort: "title", limit: 10 } });
check(listed.data?.length === 1, "list");
const refused = await createTask({ body: { title: " " } });
check(refused.error?.errors?.[0]?.field === "title", "422 is typed");
console.log("done");
