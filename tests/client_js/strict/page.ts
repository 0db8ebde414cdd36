// A page, as people write it.
import { ApiError, createClient, type SessionChange, type Task } from "auth-tasks-client";
import { passkeysOf } from "auth-tasks-client/passkeys";
import { createScriptClient } from "auth-tasks-client/script";

const client = createClient("https://api.example.com", { session: "cookie", timeout: 5_000 });

export async function signIn(email: string, password: string): Promise<string> {
  try {
    const { user } = await client.auth.signIn({ email, password, device: "A page" });
    return user.name ?? user.email;
  } catch (error) {
    if (error instanceof ApiError && error.status === 429) return `Come again in ${error.retryAfter ?? 60} s`;
    if (error instanceof ApiError) return error.errors.map(({ field, message }) => `${field} ${message}`).join("; ");
    throw error;
  }
}

export async function titles(): Promise<string[]> {
  const found: string[] = [];
  for await (const task of client.tasks.list({ status: "in_progress", sort: "priority" })) found.push(task.title);
  return found;
}

export const tick = (task: Task): Promise<Task> => client.tasks.update(task, { completed: !task.completed });
export const end = client.session.onChange((change: SessionChange) => {
  if (change.state === "signed-out") console.log(change.reason.toUpperCase());
});
export const sessions = async () => (await client.auth.listSessions()).map(({ device }) => device ?? "?");
export const own = () => client.request<{ points: number }>("GET", "/api/points");

export async function backUp(token: string): Promise<number> {
  const script = createScriptClient("https://api.example.com", token);
  let count = 0;
  for await (const { version } of script.tasks.list()) count += version;
  return count;
}
export async function newToken(current_password: string): Promise<string> {
  const body = { name: "backup", scopes: ["tasks:read" as const], days: 90, proof: { current_password } };
  return (await client.auth.createToken(body)).token;
}

const passkeys = passkeysOf(client);
export const signInByPasskey = async () => (await passkeys.signIn({ device: "A page" })).user.email;
export const addPasskey = async () => (await passkeys.add("A key", await passkeys.prove("passkey"))).synced;
