// A copy that goes on without a network, over the IndexedDB of the package fake-indexeddb.
import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createClient } from "auth-tasks-client";
import { openCopy } from "auth-tasks-client/offline";
import { all, between, browserStorage, email, once, password, refused, run, setLocks, url } from "./support.mjs";

setLocks(true);
const plain = { description: null, priority: "medium", status: "pending" };
const picked = (task, names) => Object.fromEntries(names.map((name) => [name, task[name]]));
const titles = (tasks) => tasks.map(({ title }) => title);

async function opened(base = url) {
  const store = browserStorage();
  const client = createClient(url, { session: store });
  await client.auth.signUp({ email, password });
  const way = createClient(url, { session: store, fetch: (to, ...more) => fetch(to.replace(url, base), ...more) });
  return { client, store, copy: await openCopy(way) };
}

/** The copy is what the service has, and nothing waits. */
async function assertSettled(client, copy) {
  assert.deepEqual(await copy.list(), await all(client.tasks.list()));
  assert.deepEqual([await copy.changes(), await copy.conflicts()], [[], []]);
}

await run({
  async "a copy"() {
    const { client, copy } = await opened();
    const first = await client.tasks.create({ title: "One" });
    const second = await client.tasks.create({ title: "Two" });
    assert.deepEqual(await copy.sync(), { sent: 0, refused: 0, received: 2 });
    await assertSettled(client, copy);
    await client.tasks.update(first.id, { title: "Uno", completed: true });
    await client.tasks.remove(second.id);
    await client.tasks.create({ title: "Caf\xe9" });
    await client.tasks.create({ title: "Cafe\u0301" });
    await copy.sync();
    await assertSettled(client, copy);
    assert.equal((await copy.list({ q: "CAFE\u0301" })).length, 2);
    assert.deepEqual(titles(await copy.list({ status: "completed" })), ["Uno"]);
    assert.equal(await copy.get(second.id), null);
  },

  async "in order"() {
    const { client, copy } = await opened();
    const kept = await client.tasks.create({ title: "Kept" });
    const dropped = await client.tasks.create({ title: "Dropped" });
    await copy.sync();
    const made = await copy.create({ title: "New \u{1f331}", priority: "high" });
    await copy.edit(made.id, { title: "Newer" });
    await copy.edit(made.id, { completed: true });
    await copy.edit(kept.id, { description: "Offline" });
    await copy.edit(kept.id, { title: "Kept, of course" });
    await copy.remove(dropped.id);
    await copy.remove((await copy.create({ title: "Made and thrown away" })).id);
    const shown = await copy.list();
    assert.deepEqual(shown.map(({ pending }) => pending), [true, true]);
    assert.equal((await copy.sync()).sent, 8);
    await assertSettled(client, copy);
    const names = ["id", "title", "description", "completed", "priority"];
    assert.deepEqual((await copy.list()).map((task) => picked(task, names)), shown.map((task) => picked(task, names)));
    await refused(copy.edit(dropped.id, { title: "Gone" }));
    const both = { completed: true, status: "in_progress" };
    await copy.create({ title: "x" });
    await refused(copy.create({ title: "x", completed: true, status: "pending" }));
    await refused(copy.edit((await copy.list())[0].id, both));
  },

  async conflicts() {
    const { cases } = JSON.parse(readFileSync("conflicts.json", "utf8"));
    const { client, copy } = await opened();
    const change = (tasks, id, fields) =>
      fields === "delete" ? tasks.remove(id) : (tasks.edit ?? tasks.update)(id, fields);
    for (const { name, before, mine, theirs, task, conflicts } of cases) {
      const first = { ...plain, ...before };
      const { id } = await client.tasks.create(first);
      await copy.sync();
      for (const fields of mine) await change(copy, id, fields);
      for (const fields of theirs) await change(client.tasks, id, fields);
      await copy.sync();
      const wanted = task ? [{ ...first, ...task }] : [];
      const [there, here] = [await all(client.tasks.list()), await copy.list()];
      assert.deepEqual(there, here, name);
      assert.deepEqual(there.map((it) => picked(it, Object.keys(first))), wanted, name);
      const found = await copy.conflicts();
      assert.deepEqual(found.map(({ fields }) => fields), conflicts.map(({ fields }) => fields), name);
      found.forEach(({ reason }, i) => assert(reason.includes(`${conflicts[i].reason} elsewhere`), name));
      for (const { number } of found) await copy.settle(number, "theirs");
      for (const it of there) await client.tasks.remove(it.id);
    }
  },

  async settle() {
    const { client, copy } = await opened();
    for (const whose of ["mine", "theirs"]) {
      const mine = whose === "mine";
      const tasks = {};
      for (const title of ["edited", "gone", "kept"]) tasks[title] = await client.tasks.create({ title, priority: "high" });
      await copy.sync();
      await copy.edit(tasks.edited.id, { title: "Mine" });
      await copy.edit(tasks.gone.id, { title: "Typed on a plane" });
      await copy.remove(tasks.kept.id);
      await client.tasks.update(tasks.edited.id, { title: "Theirs" });
      await client.tasks.remove(tasks.gone.id);
      await client.tasks.update(tasks.kept.id, { title: "Important!" });
      assert.equal((await copy.sync()).refused, 3);
      for (const { number } of await copy.conflicts()) await copy.settle(number, whose);
      await copy.sync();
      await assertSettled(client, copy);
      const expected = mine ? ["Mine", "Typed on a plane"] : ["Important!", "Theirs"];
      assert.deepEqual(titles(await copy.list()).sort(), expected);
      assert((await copy.list()).every(({ priority }) => priority === "high"));
      for (const { id } of await copy.list()) await copy.remove(id);
      await copy.sync();
    }
    await refused(copy.settle(999, "mine"));
  },

  async "lost answers"() {
    let lost = "";
    const proxy = await between({ loses: ({ method, path }) => lost && `${method} ${path}`.startsWith(lost) });
    const { client, copy } = await opened(proxy.url);
    for (const route of ["POST /api/tasks", "PATCH /api/tasks", "DELETE /api/tasks", "GET /api/tasks/changes"]) {
      const edited = await client.tasks.create({ title: "Edited" });
      const removed = await client.tasks.create({ title: "Removed" });
      await copy.sync();
      await copy.create({ title: "New" });
      await copy.edit(edited.id, { title: "Edited once" });
      await copy.edit(edited.id, { description: "and again" });
      await copy.remove(removed.id);
      lost = route;
      for (let n = 0; n < 3; n++) await copy.sync().catch((error) => assert.equal(error.name, "TypeError"));
      lost = "";
      await copy.sync();
      await assertSettled(client, copy);
      assert.deepEqual(titles(await copy.list()), ["New", "Edited once"]);
      for (const { id } of await copy.list()) await copy.remove(id);
      await copy.sync();
    }
    // Its creation was not answered, and somebody has deleted it since: it does not rise.
    const made = await copy.create({ title: "New" });
    lost = "POST /api/tasks";
    await refused(copy.sync());
    lost = "";
    await client.tasks.remove(made.id);
    await copy.sync();
    await assertSettled(client, copy);
    assert.deepEqual(await copy.list(), []);
  },

  async later() {
    let answer = null;
    const proxy = await between({
      handle: (it, response) => {
        if (!answer || !`${it.method} ${it.path}`.startsWith(answer.route)) return false;
        const type = answer.body.startsWith("<") ? "text/html" : "application/json";
        return response.writeHead(answer.status, { "Content-Type": type }).end(answer.body);
      },
    });
    const { client, copy } = await opened(proxy.url);
    const task = await client.tasks.create({ title: "Old" });
    await copy.sync();
    const hotel = "<html>Welcome to our hotel</html>";
    const busy = JSON.stringify({ detail: "Later.", code: "LATER" });
    const answers = ["GET /api/tasks/changes", "POST /api/tasks", "PATCH /api/tasks"].flatMap((route) => [
      ...[200, 401, 403, 404, 412].map((status) => ({ route, status, body: hotel })),
      ...[408, 500, 503].map((status) => ({ route, status, body: busy })),
    ]);
    for (const next of answers) {
      const title = `${next.route} ${next.status}`;
      await copy.edit(task.id, { title });
      const { id } = await copy.create({ title: "Another" });
      answer = next;
      await refused(copy.sync());
      assert.deepEqual(await copy.conflicts(), []);
      answer = null;
      await copy.sync();
      await assertSettled(client, copy);
      assert.deepEqual(titles(await copy.list()), ["Another", title]);
      await copy.remove(id);
    }
  },

  async "no locks"() {
    // Two tabs that cannot lock send the same changes at once: each is done once, and none is a conflict.
    setLocks(false);
    const { client, copy } = await opened();
    const other = await openCopy(client);
    for (let round = 0; round < 5; round++) {
      const { id } = await copy.create({ title: `Task ${round}` });
      for (const title of ["One", "Two", "Three"]) await copy.edit(id, { title });
      await other.edit(id, { completed: true });
      await Promise.all([copy.sync(), other.sync(), copy.sync(), other.sync()]);
      await copy.sync();
      await assertSettled(client, copy);
      assert.deepEqual(await other.list(), await copy.list());
      assert.deepEqual([(await copy.list()).length, (await copy.get(id)).title], [round + 1, "Three"]);
    }
  },

  async refused() {
    const { client, copy } = await opened();
    await copy.create({ title: "x".repeat(201) });
    await copy.create({ title: "Fine" });
    assert.equal((await copy.sync()).refused, 1);
    assert.deepEqual(titles(await all(client.tasks.list())), ["Fine"]);
    const [{ task, reason }] = await copy.conflicts();
    assert.deepEqual([task.title.length, reason.includes("200")], [201, true]);
  },

  async cursor() {
    let isExpired = false;
    const proxy = await between({
      handle: ({ path }, answer) =>
        isExpired &&
        path.includes("since=") &&
        answer.writeHead(410, { "Content-Type": "application/json" }).end(JSON.stringify({ code: "SYNC_EXPIRED" })),
    });
    const { client, copy } = await opened(proxy.url);
    const [edited, gone] = [await client.tasks.create({ title: "Old" }), await client.tasks.create({ title: "Gone" })];
    await copy.sync();
    await copy.edit(edited.id, { title: "Edited" });
    await client.tasks.remove(gone.id);
    isExpired = true;
    await copy.sync();
    await assertSettled(client, copy);
    assert.deepEqual(titles(await copy.list()), ["Edited"]);
  },

  async accounts() {
    // Nobody's tasks are sent to somebody else who signs in on the same device.
    const { client, copy, store } = await opened();
    await copy.create({ title: "Ada's" });
    const other = createClient(url, { session: store });
    await other.auth.signUp({ email: `other-${email}`, password });
    assert.equal((await refused(copy.sync())).name, "OtherAccount");
    assert.deepEqual(await all(other.tasks.list()), []);
    const theirs = await openCopy(other);
    assert.deepEqual(await theirs.list(), []);
    await other.auth.signIn({ email, password });
    await copy.sync();
    assert.deepEqual(titles(await copy.list()), ["Ada's"]);
    await copy.delete();
    assert.deepEqual(await (await openCopy(client)).list(), []);
    await client.auth.signOut();
    assert.equal((await refused(openCopy(client))).name, "OtherAccount");
  },

  async "one after the other"() {
    setLocks(false);
    const sent = [];
    let isFull = true;
    const proxy = await between({
      handle({ method, path, headers }, answer) {
        if (headers.accept === "text/event-stream") {
          answer.writeHead(200, { "Content-Type": "text/event-stream" }).write("retry: 100\n\n");
          return true;
        }
        if (method !== "POST" || !isFull) return false;
        sent.push(path);
        const body = JSON.stringify({ code: "DATABASE_UNAVAILABLE", detail: "Later." });
        answer.writeHead(503, { "Content-Type": "application/json", "Retry-After": "60" }).end(body);
        return true;
      },
    });
    const { client, copy } = await opened(proxy.url);
    let end;
    await new Promise((live) => (end = copy.follow({ onState: (state) => state === "live" && live() })));
    for (let n = 0; n < 20; n++) await copy.create({ title: `${n}` });
    end();
    isFull = false;
    await copy.sync();
    await assertSettled(client, copy);
    assert.ok(sent.length <= 3, `${sent.length}`);
  },
});
