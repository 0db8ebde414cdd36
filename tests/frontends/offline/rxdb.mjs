// Two copies of one person's tasks in RxDB, by the recipe of docs/offline.md, which stands in recipe.mjs.
import assert from "node:assert/strict";
import { createRxDatabase } from "rxdb";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { createClient } from "./client/index.js";
import { newTask, replicate, tasks } from "./recipe.mjs";

const [url, email, password] = process.argv.slice(2);
const inMemory = () => {
  const items = new Map();
  return { getItem: (name) => items.get(name) ?? null, setItem: (name, value) => items.set(name, value) };
};

async function device(name) {
  const client = createClient(url, { session: inMemory() });
  const { user } = await client.auth.signIn({ email, password });
  const database = await createRxDatabase({ name, storage: getRxStorageMemory() });
  const { tasks: collection } = await database.addCollections({ tasks });
  const request = (...sent) => client.request(...sent);
  const all = async () => (await collection.find().exec()).map((task) => task.toJSON());
  const made = { request, user, collection, all };
  made.sync = async () => {
    const client = {
      request: (...sent) => made.request(...sent),
      tasks: {
        create: (body, key) => made.request("POST", "/api/tasks", { body, headers: { "Idempotency-Key": key } }),
      },
    };
    const replication = replicate(collection, client, { live: false, retryTime: 50 });
    await replication.awaitInitialReplication();
    await replication.cancel();
  };
  made.add = async (title) => (await collection.insert(newTask(user.id, title))).id;
  made.change = async (id, change) => (await collection.findOne(id).exec()).incrementalPatch(change);
  made.remove = async (id) => (await collection.findOne(id).exec()).remove();
  return made;
}
const told = (list) => Object.fromEntries(list.map(({ title, status }) => [title, status]));

await createClient(url, { session: inMemory() }).auth.signUp({ email, password });
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
const { request } = phone;
let lost = 0;
phone.request = async (method, ...rest) => {
  const answer = await request(method, ...rest);
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
phone.request = request;

// What has changed since then cannot be told any more: another account's cursor is as good as one of last year.
const other = createClient(url, { session: inMemory() });
await other.auth.signUp({ email: `other-${email}`, password });
const { next } = await other.request("GET", "/api/tasks/changes");
let expired = 0;
phone.request = (method, path, ...rest) => {
  const [where, since] = path.split("?since=");
  if (since) expired += 1;
  return request(method, since ? `${where}?since=${encodeURIComponent(next)}` : path, ...rest);
};
await laptop.remove(milk);
await laptop.add("Tea");
await laptop.sync();
await phone.add("Coffee"); // waits to be sent
await phone.sync();
phone.request = request;
await sync(phone, laptop);
for (const one of [phone, laptop]) assert.deepEqual(told(await one.all()), { Tea: "pending", Coffee: "pending" });
assert(expired > 0);
const there = await request("GET", "/api/tasks");
assert.deepEqual(told(there), { Tea: "pending", Coffee: "pending" });
console.log("both copies are what the service has");
process.exit(0);
