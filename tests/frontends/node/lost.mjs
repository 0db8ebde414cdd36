// api.js where answers are lost: cut at every few bytes, many tabs at once without a lock, a page closed and opened later.
import net from "node:net";
import { pathToFileURL } from "node:url";

const [, , file, url, email, password, locks] = process.argv;
const { createApi } = await import(pathToFileURL(file));
const { hostname, port } = new URL(url);

// Node.js 20 has no locks: these are of one page, in which each `createApi` is a tab.
let last = Promise.resolve();
const request = (name, work) => (last = last.catch(() => {}).then(() => work({ name })));
Object.defineProperty(globalThis, "navigator", { value: locks === "locks" ? { locks: { request } } : {} });

const items = new Map();
const store = { getItem: (name) => items.get(name) ?? null, setItem: (name, value) => items.set(name, value) };
const kept = () => JSON.parse(store.getItem("tokens"));
const expire = () => store.setItem("tokens", JSON.stringify({ ...kept(), access_token: "x.y.z" }));
const check = (holds, what) => {
  if (!holds) throw new Error(what);
};

// A proxy that cuts the answer to a refresh after so many bytes, and holds it back until `released`.
let cutAfter = Infinity;
let released;
let asked = () => {};
const proxy = net.createServer((here) => {
  const there = net.connect(port, hostname);
  let left = Infinity;
  let refreshing = false;
  here.on("data", (data) => {
    refreshing = data.includes("/api/auth/refresh");
    left = refreshing ? cutAfter : left;
    there.write(data);
    if (refreshing) asked();
  });
  there.on("data", async (data) => {
    if (refreshing) await released;
    here.write(data.subarray(0, left));
    left -= data.length;
    if (left <= 0) here.destroySoon();
  });
  for (const end of [here, there]) end.on("error", () => {}).on("close", () => (here.destroy(), there.destroy()));
});
await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
const cut = createApi(`http://127.0.0.1:${proxy.address().port}`, "storage", store);
const whole = createApi(url, "storage", store);

await whole.signUp({ email, password });
let lost = 0;
for (cutAfter = 0; cutAfter < 1800; cutAfter += 9) {
  expire();
  const before = kept().refresh_token;
  await cut.call("GET", "/api/tasks").catch(() => (lost += 1));
  check(Array.isArray(await whole.call("GET", "/api/tasks")), `signed out by an answer cut after ${cutAfter} bytes`);
  check(kept().refresh_token !== before, "no new pair");
}
check(lost > 100, `${lost} answers lost`);

const tabs = Array.from({ length: 20 }, () => createApi(url, "storage", store));
for (let round = 0; round < 20; round++) {
  expire();
  await Promise.all(tabs.map((tab) => tab.call("GET", "/api/tasks")));
}

// The answer is lost, the page is closed, and opened in 20 tabs when the pair's access token has expired.
expire();
cutAfter = 0;
await cut.call("GET", "/api/tasks").catch(() => {});
await new Promise((later) => setTimeout(later, 10_000));
await Promise.all(tabs.map((tab) => tab.call("GET", "/api/tasks")));

// An answer that comes when others have gone on replaces nothing. With locks nobody goes on.
async function answeredLate() {
  cutAfter = Infinity;
  let release;
  released = new Promise((done) => (release = done));
  expire();
  const late = cut.call("GET", "/api/tasks");
  await new Promise((done) => (asked = done));
  for (let round = 0; round < 3; round++) {
    expire();
    await whole.call("GET", "/api/tasks");
  }
  const newest = kept().refresh_token;
  release();
  check(Array.isArray(await late), "a late answer fails its call");
  check(kept().refresh_token === newest, "a late answer replaced what is newer");
  check(Array.isArray(await whole.call("GET", "/api/tasks")), "signed out by a late answer");
}
if (locks !== "locks") await answeredLate();

// A thief without the key ends the session, and the page is told to sign in; the device stays known.
expire();
const stolen = kept().refresh_token;
const body = JSON.stringify({ refresh_token: stolen });
const headers = { "Content-Type": "application/json" };
await fetch(`${url}/api/auth/refresh`, { method: "POST", headers, body });
const refusal = await whole.call("GET", "/api/tasks").catch((error) => error);
check(refusal.status === 401 && kept() === null, "a thief shares the session");
check(store.getItem("device") === stolen, "the device is forgotten");
await whole.signIn({ email, password });
await whole.signOut();
console.log(`${lost} of 200 answers lost, nobody signed out`);
proxy.close();
process.exit(0);
