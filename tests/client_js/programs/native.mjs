// The recipe of docs/cookbook.md for React Native, where a browser's things are not, and with a store that answers later.
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { pathToFileURL } from "node:url";
import { between, email, once, password, refused, run } from "./support.mjs";

const folder = pathToFileURL(`${process.argv[6]}/`);
const account = { email, password };
for (const name of ["navigator", "localStorage", "BroadcastChannel", "indexedDB"])
  Object.defineProperty(globalThis, name, { value: undefined, configurable: true });
globalThis.secureRandom = webcrypto.getRandomValues.bind(webcrypto); // for what stands for the package
Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });

await run({
  async "an app"() {
    const { url: through, seen } = await between({ loses: once("POST /api/tasks") });
    const real = globalThis.fetch;
    let isOnline = true;
    globalThis.fetch = (address, options) =>
      isOnline || !address.startsWith("https://api.example.com")
        ? real(address.replace("https://api.example.com", through), options)
        : Promise.reject(new TypeError("Network request failed"));
    const warnings = [];
    console.warn = (text) => warnings.push(text);
    const { client } = await import(new URL("client.js", folder));
    const { add, send } = await import(new URL("queue.js", folder));
    const { default: store } = await import(new URL("node_modules/@react-native-async-storage/async-storage/index.js", folder));
    const kept = async () => JSON.parse(await store.getItem("auth-tasks https://api.example.com"));

    await client.auth.signUp(account);
    const { key } = await kept();
    await client.session.refresh();
    assert.notEqual((await kept()).key, key); // so that a copy of the store is found
    isOnline = false;
    await Promise.all(["First", " ", "Second"].map(add));
    await refused(send());
    assert.equal(JSON.parse(await store.getItem("waiting")).length, 3);
    isOnline = true;
    await Promise.all([send(), send()]); // the answer to the first task is lost
    assert.deepEqual(JSON.parse(await store.getItem("waiting")), []);
    assert.equal(warnings.length, 1);
    const titles = (await client.request("GET", "/api/tasks")).map(({ title }) => title);
    assert.deepEqual(titles, ["Second", "First"]);
    assert.equal(seen.filter(({ method, path }) => method === "POST" && path === "/api/tasks").length, 4);

    // The app is started anew.
    const { createClient } = await import(new URL("node_modules/auth-tasks-client/dist/index.js", folder));
    const again = createClient("https://api.example.com", { session: store });
    await again.session.ready;
    assert.equal(again.session.user.email, email);
    assert.equal((await again.request("GET", "/api/tasks")).length, 2);
  },
});
