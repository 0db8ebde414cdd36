// The recipe of docs/cookbook.md that uses no package, against answers that are lost and a service that is busy.
import assert from "node:assert/strict";
import { between, browserStorage, email, once, password, refused, run, setLocks, url } from "./support.mjs";

const recipe = process.argv[6];
const account = { email, password };
const storage = browserStorage();
globalThis.localStorage = Object.assign(storage, { removeItem: (name) => void storage.items.delete(name) });
setLocks(true);

/** Let the recipe's address be that of a server between it and the service, or of none. */
function connect(through) {
  const real = globalThis.fetch;
  globalThis.fetch = (address, options) => real(address.replace("http://localhost:8000", through), options);
}

await run({
  async "lost answers"() {
    let busy = 2;
    const handle = ({ method, path }, answer) => {
      if (method !== "GET" || path !== "/api/auth/me" || !busy--) return false;
      answer.writeHead(503, { "Content-Type": "application/json", "Retry-After": "1" }).end('{"code": "TOO_BUSY"}');
      return true;
    };
    const loses = once("POST /api/auth/refresh", "POST /api/tasks", "PATCH /api/tasks");
    const { url: through, seen } = await between({ handle, loses });
    connect(through);
    const { call, signUp } = await import(recipe);
    await signUp(account);
    const { key } = storage.kept();
    storage.expire();
    const answers = await Promise.all(Array.from({ length: 5 }, () => call("GET", "/api/tasks")));
    assert.deepEqual(answers, [[], [], [], [], []]);
    const refreshes = seen.filter(({ path }) => path === "/api/auth/refresh");
    assert.deepEqual(refreshes.map(({ headers }) => headers["idempotency-key"]), [key, key]); // the first had no answer
    assert.notEqual(storage.kept().key, key);
    const own = { "Idempotency-Key": crypto.randomUUID() };
    const task = await call("POST", "/api/tasks", { title: "Water the plants" }, own);
    assert.equal((await call("PATCH", `/api/tasks/${task.id}`, { completed: true })).completed, true);
    assert.deepEqual((await call("GET", "/api/tasks")).map(({ id }) => id), [task.id]);
    assert.equal((await call("GET", "/api/auth/me")).email, email);
    assert.equal((await refused(call("POST", "/api/tasks", { title: " " }))).code, "VALIDATION_FAILED");
  },

  async "a session's end"() {
    connect(url);
    const { call, signIn, signUp } = await import(recipe);
    await signUp(account);
    const first = storage.kept();
    await signIn(account);
    storage.expire();
    const real = globalThis.fetch;
    globalThis.fetch = () => Promise.reject(new TypeError("no network"));
    await refused(call("GET", "/api/tasks"));
    globalThis.fetch = real;
    assert.deepEqual(await call("GET", "/api/tasks"), []); // a network that was away ends nothing
    const body = JSON.stringify({ refresh_token: first.refresh_token, everywhere: true });
    await fetch(`${url}/api/auth/signout`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    assert.equal((await refused(call("GET", "/api/tasks"))).status, 401);
    assert.equal(storage.kept(), null);
  },
});
