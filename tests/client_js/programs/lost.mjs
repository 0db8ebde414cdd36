// Answers to refreshes that are lost: cut at every few bytes, many tabs at once with and without locks, and a late one.
import assert from "node:assert/strict";
import net from "node:net";
import { createClient } from "auth-tasks-client";
import { browserStorage, email, password, run, setLocks, url } from "./support.mjs";

const STEP = Math.floor(1800 / Number(process.argv[6]));
const { hostname, port } = new URL(url);

async function tabs({ locks }) {
  setLocks(locks);
  const store = browserStorage();
  // A proxy that cuts the answer to a refresh after so many bytes, and holds it back until `released`.
  let cutAfter = Infinity;
  let released;
  let asked = () => {};
  const proxy = net.createServer((here) => {
    const there = net.connect(port, hostname);
    let left = Infinity;
    let isRefresh = false;
    here.on("data", (data) => {
      isRefresh = data.includes("/api/auth/refresh");
      left = isRefresh ? cutAfter : left;
      there.write(data);
      if (isRefresh) asked();
    });
    there.on("data", async (data) => {
      if (isRefresh) await released;
      here.write(data.subarray(0, left));
      left -= data.length;
      if (left <= 0) here.destroySoon();
    });
    for (const end of [here, there]) end.on("error", () => {}).on("close", () => (here.destroy(), there.destroy()));
  });
  await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));

  // One service, of which a tab sees one address or the other.
  const address = `http://127.0.0.1:${proxy.address().port}`;
  const by = (base) => createClient(url, { session: store, fetch: (to, ...more) => fetch(to.replace(url, base), ...more) });
  const [cut, whole] = [by(address), by(url)];
  const works = async (client) => assert.equal((await client.auth.showMe()).email, email);

  await whole.auth.signUp({ email, password });
  let lost = 0;
  for (cutAfter = 0; cutAfter < 1800; cutAfter += STEP) {
    store.expire();
    const before = store.kept().refresh_token;
    await cut.auth.showMe().catch(() => (lost += 1));
    await works(whole);
    assert.notEqual(store.kept().refresh_token, before);
  }
  assert(lost > 900 / STEP, `${lost} answers lost`);

  const many = Array.from({ length: 20 }, () => by(url));
  for (let round = 0; round < 20; round++) {
    store.expire();
    await Promise.all(many.map(works));
  }

  // The answer is lost, the page is closed, and opened in 20 tabs.
  store.expire();
  cutAfter = 0;
  await cut.auth.showMe().catch(() => {});
  await Promise.all(Array.from({ length: 20 }, () => by(url)).map(works));

  // It is opened so much later that the access token of the pair that is given again has expired: the next pair is taken.
  store.expire();
  await cut.auth.showMe().catch(() => {});
  let given = 0;
  const late = async (to, ...more) => {
    const answer = await fetch(to, ...more);
    if (!to.endsWith("/refresh") || given++) return answer;
    const pair = await answer.json();
    return Response.json({ ...pair, access_token: `${pair.access_token.slice(0, -8)}AAAAAAAA` });
  };
  await works(createClient(url, { session: store, fetch: late }));
  assert.equal(given, 2);

  // Two tabs that see a moment later what the other has stored got one pair, and both may refresh that, too.
  if (!locks) {
    for (let round = 0; round < 3; round++) {
      const stale = browserStorage();
      for (const item of store.items) stale.items.set(...item);
      const late = createClient(url, { session: stale });
      for (const view of [store, stale]) view.expire();
      await Promise.all([whole, late].map(works));
      assert.equal(stale.kept().key, store.kept().key);
      for (const view of [store, stale]) view.expire();
      await Promise.all([whole, late].map(works));
    }
  }

  // An answer that comes when others have gone on replaces nothing. With locks nobody goes on.
  if (!locks) {
    cutAfter = Infinity;
    let release;
    released = new Promise((done) => (release = done));
    store.expire();
    const late = cut.auth.showMe();
    await new Promise((done) => (asked = done));
    for (let round = 0; round < 3; round++) {
      store.expire();
      await works(whole);
    }
    const newest = store.kept().refresh_token;
    release();
    assert.equal((await late).email, email);
    assert.equal(store.kept().refresh_token, newest);
    await works(whole);
  }

  // A thief without the key ends the session; the device stays known.
  store.expire();
  const { refresh_token } = store.kept();
  const headers = { "Content-Type": "application/json" };
  await fetch(`${url}/api/auth/refresh`, { method: "POST", headers, body: JSON.stringify({ refresh_token }) });
  await assert.rejects(whole.auth.showMe(), { status: 401 });
  assert.deepEqual(store.kept(), { reason: "reused", device: refresh_token });
  await whole.auth.signIn({ email, password });
  await whole.auth.signOut();
  console.log(`${lost} answers lost, nobody signed out`);
}

await run({ locks: () => tabs({ locks: true }), "no locks": () => tabs({ locks: false }) });
