// What the programs share: stores, tabs, and a proxy that loses answers.
import assert from "node:assert/strict";
import http from "node:http";

export const [, , scenario, url, email, password] = process.argv;

/** Runs the scenario that the command line names. */
export async function run(scenarios) {
  await scenarios[scenario]();
  process.exit(0);
}

/** A `localStorage` that several clients of this process share, as tabs do; `events` tells the others what one writes. */
export function browserStorage() {
  const items = new Map();
  return {
    items,
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => void items.set(name, value),
    kept: () => JSON.parse([...items.values()][0] ?? "null"),
    change(more) {
      const [name] = items.keys();
      items.set(name, JSON.stringify({ ...this.kept(), ...more }));
    },
    /** Let the access token be an expired one. */
    expire() {
      this.change({ access_token: "x.y.z" });
    },
  };
}

/** Locks of one page, in which each client is a tab (Node.js 20 has none), or none. */
export function setLocks(has) {
  let last = Promise.resolve();
  const request = (name, ...more) => (last = last.catch(() => {}).then(() => more.at(-1)({ name })));
  Object.defineProperty(globalThis, "navigator", { value: has ? { locks: { request } } : {}, configurable: true });
}

/** A server before the service: `handle` may answer itself, and `loses` the answer to a request that was carried out. */
export async function between({ handle = () => false, loses = () => false } = {}) {
  const seen = [];
  const proxy = http.createServer((request, answer) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", async () => {
      const body = Buffer.concat(parts);
      const it = { method: request.method, path: request.url, headers: request.headers, body: String(body) };
      seen.push(it);
      if (handle(it, answer)) return;
      const { host: _, connection: __, "content-length": ___, ...headers } = request.headers;
      const upstream = await fetch(url + request.url, { method: it.method, headers, ...(body.length && { body }) });
      const content = Buffer.from(await upstream.arrayBuffer());
      if (loses(it)) return request.socket.destroy();
      const kept = ["content-type", "retry-after", "link", "etag", "x-request-id"];
      for (const name of kept) if (upstream.headers.get(name)) answer.setHeader(name, upstream.headers.get(name));
      answer.writeHead(upstream.status).end(content);
    });
  });
  await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
  return { url: `http://127.0.0.1:${proxy.address().port}`, seen };
}

/** Loses the next answer to each of these routes, which are written as `PATCH /api/tasks`. */
export function once(...routes) {
  const left = new Set(routes);
  return ({ method, path }) => {
    const found = [...left].find((route) => `${method} ${path}`.startsWith(route));
    return left.delete(found);
  };
}

export async function all(tasks) {
  const found = [];
  for await (const task of tasks) found.push(task);
  return found;
}

export async function refused(promise) {
  return promise.then(
    (answer) => assert.fail(`not refused: ${JSON.stringify(answer)}`),
    (error) => error,
  );
}
