// A list with React, and the server that renders it.
import { createClient } from "auth-tasks-client";
import { useSession, useTasks, useUser } from "auth-tasks-client/react";
import { cookiesOf, serverSession } from "auth-tasks-client/server";

const client = createClient("", { session: "cookie" });

export function List() {
  const { state, reason } = useSession(client);
  const user = useUser(client);
  const { tasks, error, create, update, remove } = useTasks(client);
  if (state !== "signed-in") return <p>{reason}</p>;
  return (
    <ul title={user?.email}>
      {tasks.map((task) => (
        <li key={task.id} onClick={() => void update(task.id, { completed: !task.completed })}>
          {task.title} <button onClick={() => void remove(task.id)}>x</button>
        </li>
      ))}
      <button onClick={() => void create({ title: "New" })}>{error?.message}</button>
    </ul>
  );
}

export async function GET(request: Request): Promise<Response> {
  const headers = new Headers();
  const cookies = cookiesOf(request, headers);
  const session = await serverSession({ url: "https://api.example.com", secret: "x".repeat(32), cookies });
  await session.refresh();
  const tasks = session.user ? await Array.fromAsync(session.client.tasks.list()) : [];
  return Response.json(tasks, { headers });
}
