// Drives the JavaScript client through the kit: `python kit.py node drivers/driver.mjs`. In Node.js its copy lies in the
// IndexedDB of the package fake-indexeddb.
import "fake-indexeddb/auto";
import { createClient } from "auth-tasks-client";
import { openCopy } from "auth-tasks-client/offline";

const url = process.env.KIT_URL;

/** What the device stores is in `items`; a client and a copy are made of it anew with each start. */
function device() {
  const items = new Map();
  const store = {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => void items.set(name, value),
    lock: (work) => work(),
  };
  let client = createClient(url, { session: store });
  let copy = null;
  let stop = () => {};
  const opened = async () => (copy ??= await openCopy(client));
  const all = async () => {
    const tasks = [];
    for await (const task of client.tasks.list()) tasks.push(task);
    return tasks;
  };
  return {
    begin: () => {},
    async sign_up({ email, password }) {
      await client.auth.signUp({ email, password });
    },
    async sign_in({ email, password }) {
      await client.auth.signIn({ email, password });
    },
    async sign_out() {
      await client.auth.signOut();
    },
    restart() {
      copy?.close();
      copy = null;
      client = createClient(url, { session: store });
    },
    list: async ({ at_once = 1 }) => ({ tasks: (await Promise.all(Array.from({ length: at_once }, all)))[0] }),
    add: async ({ title }) => ({ task: await client.tasks.create({ title }) }),
    sync: async () => void (await (await opened()).sync()),
    local_add: async ({ title }) => ({ task: await (await opened()).create({ title }) }),
    local_edit: async ({ task_id, fields }) => ({ task: await (await opened()).edit(task_id, fields) }),
    local_remove: async ({ task_id }) => void (await (await opened()).remove(task_id)),
    local_list: async () => ({ tasks: await (await opened()).list() }),
    conflicts: async () => ({ conflicts: await (await opened()).conflicts() }),
    async follow({ every = 10 }) {
      stop = (await opened()).follow({ every: every * 1000 });
    },
    unfollow: () => stop(),
    async wait_for({ titles, seconds }) {
      const now = async () => (await copy.list()).map(({ title }) => title).sort();
      const isThere = async () => JSON.stringify(await now()) === JSON.stringify(titles);
      await new Promise((done) => {
        const timer = setTimeout(done, seconds * 1000);
        const look = async () => (await isThere()) && (clearTimeout(timer), end(), done());
        const end = copy.onChange(look);
        void look();
      });
      return { titles: await now() };
    },
  };
}

const ask = async (result) => {
  const headers = { "Content-Type": "application/json" };
  return (await fetch(`${url}/kit`, { method: "POST", headers, body: JSON.stringify(result) })).json();
};

let current = device();
let result = {};
for (;;) {
  const step = await ask(result);
  if (step.do === "end") break;
  if (step.do === "begin") current = device();
  if (!current[step.do]) result = { unsupported: true };
  else
    result = await Promise.resolve()
      .then(() => current[step.do](step))
      .then(
        (answer) => answer ?? {},
        (error) => ({ error: String(error) }),
      );
}
process.exit(0);
