// A copy on a train, in an app whose storage answers later.
import { createClient, type Store } from "auth-tasks-client";
import { openCopy, type Copy, type LocalTask } from "auth-tasks-client/offline";

const items = new Map<string, string>();
const store: Store = {
  getItem: async (name) => items.get(name) ?? null,
  setItem: async (name, value) => void items.set(name, value),
};

export async function work(): Promise<LocalTask[]> {
  const copy: Copy = await openCopy(createClient("https://api.example.com", { session: store }));
  const task = await copy.create({ title: "Typed on a train", priority: "high" });
  await copy.edit(task.id, { completed: true, description: null });
  const stop = copy.follow({ every: 5_000, onState: (state) => console.log(state === "live") });
  for (const { number, fields, reason } of await copy.conflicts()) {
    console.log(reason, fields.title?.length);
    await copy.settle(number, "mine");
  }
  const { sent } = await copy.sync();
  stop();
  return sent ? copy.list({ q: "train" }) : [];
}
