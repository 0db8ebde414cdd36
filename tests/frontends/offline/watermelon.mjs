// WatermelonDB's own synchronize, by the lines of docs/offline.md, which stand in recipe.mjs.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createClient } from "./client/index.js";
import { sync } from "./recipe.mjs";

const require = createRequire(import.meta.url);
const { Database, Model, appSchema, tableSchema } = require("@nozbe/watermelondb");
const { default: LokiJSAdapter } = require("@nozbe/watermelondb/adapters/lokijs");
const { synchronize } = require("@nozbe/watermelondb/sync");

const [url, email, password] = process.argv.slice(2);
const items = new Map();
const store = { getItem: (name) => items.get(name) ?? null, setItem: (name, value) => items.set(name, value) };
const client = createClient(url, { session: store });
await client.auth.signUp({ email, password });

class Task extends Model {
  static table = "tasks";
}
const columns = ["title", "status", "priority"].map((name) => ({ name, type: "string" }));
const schema = appSchema({ version: 1, tables: [tableSchema({ name: "tasks", columns })] });
const adapter = new LokiJSAdapter({ schema, useWebWorker: false, useIncrementalIndexedDB: false, extraLokiOptions: { autosave: false } });
const database = new Database({ adapter, modelClasses: [Task] });
const titles = async () => (await database.get("tasks").query().fetch()).map(({ _raw }) => `${_raw.title} ${_raw.status}`).sort();
const pushed = [];
const pushChanges = async ({ changes }) => pushed.push(changes.tasks);
const pull = () => sync(database, client, synchronize, pushChanges);

const milk = await client.tasks.create({ title: "Milk" });
await client.tasks.create({ title: "Bread" });
await pull();
assert.deepEqual(await titles(), ["Bread pending", "Milk pending"]);
await client.tasks.update(milk, { completed: true });
const before = await database.localStorage.get("next");
await pull();
assert.deepEqual(await titles(), ["Bread pending", "Milk completed"]);
assert.notEqual(await database.localStorage.get("next"), before);
await client.tasks.remove(milk.id);
await database.write(async () => {
  const [bread] = await database.get("tasks").query().fetch();
  await bread.update(({ _raw }) => {});
});
await pull();
assert.deepEqual(await titles(), ["Bread pending"]);
console.log("the copy is what the service has");
process.exit(0);
