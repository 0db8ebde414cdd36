// The core: accounts, tasks, what is waited out and sent again, and what happens to a session.
import assert from "node:assert/strict";
import { ApiError, createClient } from "auth-tasks-client";
import { createScriptClient } from "auth-tasks-client/script";
import { all, between, browserStorage, email, once, password, refused, run, setLocks, url } from "./support.mjs";

async function signedUp(options = {}) {
  const store = browserStorage();
  const client = createClient(url, { session: store, ...options });
  await client.auth.signUp({ email, password, name: "Ada" });
  return { client, store };
}

/** A `fetch` as all pages of one browser have it, with one cookie. */
function fetchWithCookie() {
  let cookie = "";
  return async (to, { headers, ...more }) => {
    const answer = await fetch(to, { ...more, headers: { ...headers, Cookie: cookie, Origin: url } });
    const [set] = answer.headers.getSetCookie();
    if (set) cookie = set.split(";")[0];
    return answer;
  };
}

/** A `fetch` that stops when a request to this route is `answered`, until `goOn` is called. */
function stoppedAt(route, fetcher = fetch) {
  let goOn;
  const goesOn = new Promise((done) => (goOn = done));
  let tell;
  const answered = new Promise((done) => (tell = done));
  async function stopped(to, how) {
    const answer = await fetcher(to, how);
    if (`${how.method} ${new URL(to).pathname}` === route) {
      tell();
      await goesOn;
    }
    return answer;
  }
  return { fetch: stopped, answered, goOn };
}

const json = (answer, status, body, headers = {}) =>
  answer.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));

await run({
  async life() {
    const { client, store } = await signedUp();
    assert.equal(client.session.user.name, "Ada");
    const made = await client.tasks.create({ title: "Water the plants", priority: "high" });
    assert.deepEqual(await client.tasks.get(made.id), made);
    const done = await client.tasks.update(made, { completed: true });
    assert.equal(done.status, "completed");
    const stale = await refused(client.tasks.update(made, { title: "Mine" }));
    assert.deepEqual([stale instanceof ApiError, stale.status, stale.code], [true, 412, "TASK_CHANGED"]);
    assert.equal((await client.tasks.update(made.id, { title: "Mine" })).title, "Mine");
    await client.tasks.remove(made.id);
    const missing = await refused(client.tasks.get(made.id));
    assert.deepEqual([missing.code, !!missing.requestId, missing.wasLost], ["TASK_NOT_FOUND", true, false]);

    for (let n = 0; n < 5; n++) await client.tasks.create({ title: `${n}` });
    const titles = (await all(client.tasks.list({ limit: 2, sort: "title", order: "asc" }))).map(({ title }) => title);
    assert.deepEqual(titles, ["0", "1", "2", "3", "4"]);
    const wrong = await refused(client.tasks.create({ title: " " }));
    assert.deepEqual([wrong.status, wrong.errors[0].field, wrong.message.includes("blank")], [422, "title", true]);

    assert.equal((await client.auth.changeMe({ name: "Grace" })).name, "Grace");
    assert.equal(client.session.user.name, "Grace");
    const elsewhere = createClient(url, { session: browserStorage() });
    await elsewhere.auth.signIn({ email, password, device: "A telephone" });
    const others = (await client.auth.listSessions()).filter(({ current }) => !current);
    assert.deepEqual(others.map(({ device }) => device), ["A telephone"]);
    await client.auth.endSession(others[0].id);
    assert.equal((await refused(elsewhere.auth.showMe())).status, 401);

    const before = store.kept().refresh_token;
    await client.auth.changePassword({ current_password: password, new_password: `${password}!` });
    assert.notEqual(store.kept().refresh_token, before);
    assert.equal((await all(client.tasks.list())).length, 5);
    await client.auth.deleteMe({ current_password: `${password}!` });
    assert.equal(client.session.user, null);
    assert.equal((await refused(client.auth.showMe())).code, "NOT_AUTHENTICATED");
  },

  async script() {
    // A token for a script: made, used where nothing is stored, refused by its scope, ended.
    const { client } = await signedUp();
    const tokenFor = async (...scopes) =>
      client.auth.createToken({ name: "backup", scopes, days: 90, proof: { current_password: password } });
    const { id, token } = await tokenFor("tasks:read", "tasks:write");
    const script = createScriptClient(url, token);
    const made = await script.tasks.create({ title: "By a script" });
    assert.deepEqual(await all(script.tasks.list()), [made]);
    assert.equal((await script.tasks.update(made, { completed: true })).status, "completed");
    await script.tasks.remove(made.id);
    const reads = createScriptClient(url, (await tokenFor("tasks:read")).token);
    assert.deepEqual(await all(reads.tasks.list()), []);
    const refusal = await refused(reads.tasks.create({ title: "x" }));
    assert.deepEqual([refusal.status, refusal.code], [403, "INSUFFICIENT_SCOPE"]);
    assert.equal((await refused(script.request("GET", "/api/auth/me"))).status, 403);
    const scripts = (await client.auth.listSessions()).filter(({ kind }) => kind === "script");
    assert.deepEqual(scripts.map(({ device }) => device), ["backup", "backup"]);
    await client.auth.endSession(id);
    const { seen, url: way } = await between();
    const ended = createScriptClient(way, token);
    assert.equal((await refused(ended.tasks.get(made.id))).status, 401);
    assert.deepEqual(seen.map(({ method, path }) => `${method} ${path}`), [`GET /api/tasks/${made.id}`]);
    for (const wrong of ["", "x", `${token}\n`, `${token}\r\nX: y`, `Bearer ${token}`])
      assert.throws(() => createScriptClient(url, wrong), (error) => error instanceof TypeError && !error.message.includes("eyJ"));
    // A server that leads elsewhere is not followed.
    const astray = await between({ handle: (_, answer) => answer.writeHead(307, { Location: way }).end() });
    await assert.rejects(createScriptClient(astray.url, token).request("GET", "/api/tasks"), TypeError);
    assert.equal(seen.length, 1);
  },

  async "one cookie for two"() {
    // Two pages of one service have one cookie, and each a localStorage of its own.
    const withCookie = fetchWithCookie();
    const opened = (storage) => {
      globalThis.localStorage = storage;
      return createClient(url, { session: "cookie", fetch: withCookie });
    };
    const storage = browserStorage();
    await opened(storage).auth.signUp({ email, password });
    const other = opened(browserStorage());
    await other.auth.signUp({ email: `other-${email}`, password });
    const reloaded = opened(storage);
    assert.equal((await refused(reloaded.tasks.create({ title: "Ada's" }))).code, "NOT_AUTHENTICATED");
    assert.deepEqual([reloaded.session.user, reloaded.session.reason], [null, "elsewhere"]);
    assert.deepEqual(await all(other.tasks.list()), []);
  },

  async busy() {
    let left = 1;
    const proxy = await between({
      handle: ({ path }, answer) =>
        path.startsWith("/api/tasks") && left-- > 0 && json(answer, left % 2 ? 429 : 503, { code: "LATER" }, { "Retry-After": "1" }),
    });
    const session = browserStorage();
    const client = createClient(proxy.url, { session });
    await client.auth.signUp({ email, password });
    for (const times of [1, 2]) {
      left = times;
      const begun = Date.now();
      const sent = client.tasks.create({ title: "Later" });
      if (times === 2) assert.equal((await refused(sent)).retryAfter, 1);
      else assert.equal((await sent).title, "Later");
      assert(Date.now() - begun >= 1000);
    }
    const impatient = createClient(proxy.url, { session, timeout: 500 });
    left = 1;
    assert.equal((await refused(impatient.tasks.create({ title: "Not so much later" }))).retryAfter, 1);
  },

  async again() {
    const routes = ["POST /api/tasks", "PATCH /api/tasks", "DELETE /api/tasks", "GET /api/tasks"];
    const proxy = await between({ loses: once(...routes) });
    const client = createClient(proxy.url, { session: browserStorage() });
    await client.auth.signUp({ email, password });
    const made = await client.tasks.create({ title: "Once" });
    assert.equal((await all(client.tasks.list())).length, 1);
    const edited = await client.tasks.update(made, { completed: true, priority: "low" });
    assert.deepEqual([edited.completed, edited.version], [true, 2]);
    await client.tasks.remove(edited);
    assert.equal((await all(client.tasks.list())).length, 0);
    const keys = proxy.seen.filter(({ method }) => method === "POST").map(({ headers }) => headers["idempotency-key"]);
    assert.equal(new Set(keys.slice(1)).size, 1);
    assert(!proxy.seen.some(({ path }) => path.includes("toggle")));
    assert.equal((await refused(createClient("http://127.0.0.1:9").auth.signIn({ email, password }))).name, "TypeError");
  },

  async silent() {
    const silent = await between({ handle: ({ path }) => path.startsWith("/api/tasks") });
    const session = browserStorage();
    await createClient(silent.url, { session }).auth.signUp({ email, password });
    const client = createClient(silent.url, { session, timeout: 200 });
    assert(!((await refused(client.tasks.get("1"))) instanceof ApiError));
    assert.equal(silent.seen.filter(({ method }) => method === "GET").length, 3);
  },

  async hotel() {
    let status = 0;
    const proxy = await between({
      handle: (_, answer) => status && answer.writeHead(status, { "Content-Type": "text/html" }).end("<h1>Hello</h1>"),
    });
    const store = browserStorage();
    const client = createClient(proxy.url, { session: store });
    await client.auth.signUp({ email, password });
    for (status of [200, 401, 403, 404, 511]) {
      store.expire();
      const error = await refused(client.auth.showMe());
      assert.deepEqual([error.status, error.code], [status, null]);
    }
    status = 0;
    assert.equal((await client.auth.showMe()).email, email);
  },

  async bare() {
    // A runtime that has fetch and nothing else of a browser.
    for (const name of ["navigator", "localStorage", "BroadcastChannel", "addEventListener"]) delete globalThis[name];
    const { client } = await signedUp({ session: "storage" });
    assert.equal((await client.auth.showMe()).email, email);
    const inCookie = createClient(url, { session: "cookie" });
    assert.equal((await refused(inCookie.auth.showMe())).code, "NOT_AUTHENTICATED");

    // A store that answers later, as React Native's.
    const items = new Map();
    const later = (work) => new Promise((done) => setTimeout(() => done(work()), 5));
    const store = {
      getItem: (name) => later(() => items.get(name) ?? null),
      setItem: (name, value) => later(() => void items.set(name, value)),
    };
    const phone = createClient(url, { session: store });
    await phone.auth.signIn({ email, password });
    const [name, text] = [...items][0];
    items.set(name, JSON.stringify({ ...JSON.parse(text), access_token: "x.y.z" }));
    const again = createClient(url, { session: store });
    await again.session.ready;
    assert.equal(again.session.user.email, email);
    assert.deepEqual(await Promise.all([1, 2, 3].map(() => all(again.tasks.list()))), [[], [], []]);
  },

  async reasons() {
    // Each way in which a session ends says which it was, in the tab that finds it and in the others.
    setLocks(true);
    const heard = [];
    const store = browserStorage();
    const listen = [];
    globalThis.localStorage = store;
    globalThis.addEventListener = (_, listener) => listen.push(listener);
    const tabs = [createClient(url), createClient(url)];
    tabs.forEach(({ session }, tab) => session.onChange(({ state, reason }) => heard.push([tab, state, reason])));
    const told = async () => {
      for (const listener of listen) listener({ key: null });
      await tabs[1].session.ready;
      await new Promise(setImmediate);
      return heard.splice(0);
    };
    const both = (...change) => [0, 1].map((tab) => [tab, ...change]);
    const [client] = tabs;
    await client.auth.signUp({ email, password });
    assert.deepEqual(await told(), both("signed-in", null));
    store.expire();
    await told();
    await client.auth.showMe();
    assert.deepEqual(await told(), both("refreshed", null));

    await client.auth.signOut();
    assert.deepEqual(await told(), both("signed-out", "user"));
    const ends = {
      async elsewhere() {
        const other = createClient(url, { session: browserStorage() });
        await other.auth.signIn({ email, password });
        await other.auth.signOut({ others: true });
      },
      async reused() {
        const { refresh_token } = store.kept();
        const body = JSON.stringify({ refresh_token });
        const thief = () => fetch(`${url}/api/auth/refresh`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
        await thief();
        store.expire();
      },
      async expired() {
        const { now } = Date;
        Date.now = () => now() + 8 * 24 * 3600 * 1000;
        await createClient(url, { session: store }).auth.signOut({ others: true }).catch(() => {});
        const { access_token } = store.kept();
        await fetch(`${url}/api/auth/signout`, { method: "POST", headers: { Authorization: `Bearer ${access_token}` } });
      },
    };
    for (const [reason, end] of Object.entries(ends)) {
      await client.auth.signIn({ email, password });
      await told();
      await end();
      await told();
      assert.equal((await refused(client.auth.showMe())).status, 401);
      assert.deepEqual(await told(), both("signed-out", reason));
      assert.equal(tabs[1].session.reason, reason);
    }
  },

  async "a stopped tab"() {
    // A tab that the browser has stopped holds the lock, and does not give it up: the others go on without.
    const request = (_, { signal }) => new Promise((_, fail) => signal?.addEventListener("abort", () => fail(signal.reason)));
    Object.defineProperty(globalThis, "navigator", { value: { locks: { request } }, configurable: true });
    setInterval(() => {}, 1000); // the timer of a signal does not keep the process
    const { client, store } = await signedUp({ timeout: 1000 });
    const { key } = store.kept();
    store.expire();
    assert.equal((await client.auth.showMe()).email, email);
    assert.equal(store.kept().key, key); // as where there are no locks
    await client.auth.signOut();
    assert.equal(client.session.user, null);
  },

  async "a late tab"() {
    // A tab is stopped when its refresh has been answered, and goes on when another has signed out: nobody is signed in.
    setLocks(false);
    const withCookie = fetchWithCookie();
    const storage = (globalThis.localStorage = browserStorage());
    const { fetch: stopped, answered, goOn } = stoppedAt("POST /api/auth/refresh", withCookie);
    const late = createClient(url, { session: "cookie", fetch: stopped });
    const other = createClient(url, { session: "cookie", fetch: withCookie });
    await late.auth.signUp({ email, password });
    const refreshed = late.session.refresh();
    await answered;
    await other.auth.signOut();
    goOn();
    await refreshed;
    assert.deepEqual([late.session.user, storage.kept()], [null, { reason: "user" }]);
  },

  async "two accounts"() {
    // Somebody else signs in, in another tab, while an answer is on the way: it changes and ends nothing of theirs.
    setLocks(false);
    const acts = {
      "PATCH /api/auth/me": (client) => client.auth.changeMe({ name: "Ada" }),
      "POST /api/auth/me/delete": (client) => client.auth.deleteMe({ current_password: password }),
      "POST /api/tasks": (client) => refused(client.request("POST", "/api/tasks", { body: { title: "Ada's" } })),
    };
    for (const [number, [route, act]] of Object.entries(acts).entries()) {
      const storage = (globalThis.localStorage = browserStorage());
      const { fetch: stopped, answered, goOn } = stoppedAt(route);
      const late = createClient(url, { fetch: stopped });
      await late.auth.signUp({ email: `${number}-${email}`, password });
      if (route === "POST /api/tasks") storage.expire(); // it is refused, and would be sent again
      const done = act(late);
      await answered;
      const other = createClient(url);
      await other.auth.signUp({ email: `other-${number}-${email}`, password });
      const before = storage.kept();
      goOn();
      assert.equal((await done).name, { "POST /api/tasks": "OtherAccount", "PATCH /api/auth/me": "Ada" }[route]);
      assert.deepEqual(storage.kept(), before);
      assert.deepEqual(await all(other.tasks.list()), []);
    }
  },

  async paths() {
    // A path that would lead to another host is not asked for: the token goes to the service alone.
    const seen = [];
    const fetcher = async (to) => (seen.push(to), Response.json({}));
    const astray = ["@evil.test/", ".evil.test/", ":1/", "https://evil.test/", "//evil.test/", "/\\evil.test/"];
    for (const base of [url, ""]) {
      const client = createClient(base, { fetch: fetcher });
      for (const { request } of [client, createScriptClient(base, "atk_1", { fetch: fetcher })]) {
        for (const path of [...astray, "/\t/evil.test/", "/\n/evil.test/", ""])
          assert.equal((await refused(request("GET", path))).name, "TypeError", path);
        assert.deepEqual(seen, []);
        await request("GET", "/api/tasks");
        assert.deepEqual(seen.splice(0), [`${base}/api/tasks`]);
      }
    }
  },

  async clocks() {
    // A device whose clock is wrong by days, either way.
    const { now } = Date;
    for (const days of [-9, 9]) {
      Date.now = () => now() + days * 24 * 3600 * 1000;
      const store = browserStorage();
      const client = createClient(url, { session: store });
      await (days < 0 ? client.auth.signUp({ email, password }) : client.auth.signIn({ email, password }));
      for (let round = 0; round < 3; round++) {
        store.expire();
        assert.equal((await client.auth.showMe()).email, email);
      }
    }
  },

  async "a copied store"() {
    // Who refreshes the same pair second ends the session for both; who runs ahead is put out by the owner.
    setLocks(true);
    for (const ahead of [1, 3]) {
      const owner = browserStorage();
      const client = createClient(url, { session: owner });
      await (ahead === 1 ? client.auth.signUp({ email, password }) : client.auth.signIn({ email, password }));
      const copied = browserStorage();
      for (const item of owner.items) copied.items.set(...item);
      const thief = createClient(url, { session: copied });
      for (let turn = 0; turn < ahead; turn++) {
        copied.expire();
        assert.equal((await thief.auth.showMe()).email, email);
      }
      owner.expire();
      if (ahead === 1) {
        assert.equal((await client.auth.showMe()).email, email); // the thief's own pair, unused
        copied.expire();
        assert.equal((await thief.auth.showMe()).email, email);
        owner.expire();
      }
      assert.equal((await refused(client.auth.showMe())).status, 401);
      assert.equal((await refused(thief.auth.showMe())).status, 401);
      assert.equal(client.session.user, null);
    }
  },
});
