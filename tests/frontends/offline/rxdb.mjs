// Two copies of one person's tasks in RxDB, by the recipe of docs/offline.md, which stands in recipe.mjs.
import assert from "node:assert/strict";
import { createRxDatabase } from "rxdb";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { createApi } from "./api.mjs";
import { newTask, replicate, tasks } from "./recipe.mjs";

const [url, email, password] = process.argv.slice(2);
const inMemory = () => {
  const items = new Map();
  return { getItem: (name) => items.get(name) ?? null, setItem: (name, value) => items.set(name, value) };
};
globalThis.navigator ??= {};

async function device(name) {
  const api = createApi(url, "storage", inMemory());
  const { user } = await api.signIn({ email, password });
  const database = await createRxDatabase({ name, storage: getRxStorageMemory() });
  const { tasks: collection } = await database.addCollections({ tasks });
  const call = (...request) => api.call(...request);
  const all = async () => (await collection.find().exec()).map((task) => task.toJSON());
  const made = { api: { call }, user, collection, all };
  made.sync = async () => {
    const replication = replicate(collection, { call: (...request) => made.api.call(...request) }, { live: false, retryTime: 50 });
    await replication.awaitInitialReplication();
    await replication.cancel();
  };
  made.add = async (title) => (await collection.insert(newTask(user.id, title))).id;
  made.change = async (id, change) => (await collection.findOne(id).exec()).incrementalPatch(change);
  made.remove = async (id) => (await collection.findOne(id).exec()).remove();
  return made;
}
const told = (list) => Object.fromEntries(list.map(({ title, status }) => [title, status]));

await createApi(url, "storage", inMemory()).signUp({ email, password });
const phone = await device("phone");
const laptop = await device("laptop");
const sync = async (...devices) => {
  for (const one of devices) await one.sync();
};

const milk = await phone.add("Milk");
await phone.change(milk, { title: "Oat milk" }); // changed before it was sent
await sync(phone, laptop);
assert.deepEqual(told(await laptop.all()), { "Oat milk": "pending" });

await laptop.change(milk, { title: "Almond milk" });
await phone.change(milk, { status: "completed" });
await sync(phone, laptop, phone);
for (const one of [phone, laptop]) assert.deepEqual(told(await one.all()), { "Almond milk": "completed" }, "both changes are kept");

await phone.change(milk, { title: "Soy milk" });
await laptop.change(milk, { title: "Rice milk" });
await sync(phone, laptop, phone);
for (const one of [phone, laptop]) assert.deepEqual(told(await one.all()), { "Soy milk": "completed" }, "the first one stays");

// Answers that are lost: the task is made, and sent again it is one.
const call = phone.api.call;
let lost = 0;
phone.api.call = async (method, ...rest) => {
  const answer = await call(method, ...rest);
  if (["POST", "PATCH", "DELETE"].includes(method) && lost++ % 2 === 0) throw new Error("lost");
  return answer;
};
const bread = await phone.add("Bread");
await phone.sync();
await phone.change(bread, { title: "Rye bread" });
await phone.change(milk, { status: "pending" });
await sync(phone, laptop);
for (const one of [phone, laptop]) assert.deepEqual(told(await one.all()), { "Soy milk": "pending", "Rye bread": "pending" });
assert(lost > 3, `${lost} writes`);

await phone.remove(bread);
await laptop.change(bread, { status: "completed" });
await sync(phone, laptop);
for (const one of [phone, laptop]) assert.deepEqual(told(await one.all()), { "Soy milk": "pending" }, "deleted");
phone.api.call = call;

// What has changed since then cannot be told any more: another account's cursor is as good as one of last year.
const other = createApi(url, "storage", inMemory());
await other.signUp({ email: `other-${email}`, password });
const { next } = await other.call("GET", "/api/tasks/changes");
let expired = 0;
phone.api.call = (method, path, ...rest) => {
  const [where, since] = path.split("?since=");
  if (since) expired += 1;
  return call(method, since ? `${where}?since=${encodeURIComponent(next)}` : path, ...rest);
};
await laptop.remove(milk);
await laptop.add("Tea");
await laptop.sync();
await phone.add("Coffee"); // waits to be sent
await phone.sync();
phone.api.call = call;
await sync(phone, laptop);
for (const one of [phone, laptop]) assert.deepEqual(told(await one.all()), { Tea: "pending", Coffee: "pending" });
assert(expired > 0);
const there = await call("GET", "/api/tasks");
assert.deepEqual(told(there), { Tea: "pending", Coffee: "pending" });
console.log("both copies are what the service has");
process.exit(0);
