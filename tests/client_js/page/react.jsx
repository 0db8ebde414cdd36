// A list as people write it with React, in its strict mode.
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { createClient } from "auth-tasks-client";
import { openCopy } from "auth-tasks-client/offline";
import { useSession, useTasks, useUser } from "auth-tasks-client/react";

const given = new URLSearchParams(location.search);
const client = createClient(given.get("api"), { session: "storage" });

function List({ source }) {
  const { tasks, error, isLoading, create, update, remove } = useTasks(source);
  const [title, setTitle] = useState("");
  return (
    <>
      <p id="said">{error ? error.message : isLoading ? "loading" : ""}</p>
      <input value={title} onChange={(event) => setTitle(event.target.value)} />
      <button id="add" onClick={() => create({ title })}>Add</button>
      {tasks.map((task) => (
        <li key={task.id} data-pending={!!task.pending}>
          <input type="checkbox" checked={task.completed} onChange={() => update(task.id, { completed: !task.completed })} />
          {task.title}
          <button onClick={() => remove(task.id)}>Delete</button>
        </li>
      ))}
    </>
  );
}

function Page() {
  const { state, reason } = useSession(client);
  const user = useUser(client);
  const [copy, setCopy] = useState(null);
  window.useCopy = async () => setCopy(await openCopy(client));
  window.states = [...(window.states ?? []), state];
  return (
    <>
      <p id="state">{state === "signed-out" ? `${state} ${reason}` : state}</p>
      <p id="user">{user?.email}</p>
      {user && <List source={copy ?? client} />}
    </>
  );
}

window.client = client;
createRoot(document.getElementById("root")).render(<StrictMode><Page /></StrictMode>);
