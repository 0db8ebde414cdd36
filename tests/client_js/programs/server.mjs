// The session of a page's server: renders at once, a lost `Set-Cookie`, a late render, a thief with the cookie, a cookie
// that a browser has made up.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { cookiesOf, serverSession } from "auth-tasks-client/server";
import { email, password, refused, run, url } from "./support.mjs";

const secret = "the page server's own secret, 32 characters or more";
let sent = 0; // refreshes
const counting = (to, ...more) => (to.endsWith("/refresh") && sent++, fetch(to, ...more));

/** A browser's jar, and the requests that it sends. */
function browser() {
  let cookie = "";
  const jar = {
    get cookie() {
      return cookie;
    },
    set cookie(value) {
      cookie = value;
    },
    /** One request; `isRender` where no cookie can be set. */
    async visit(work, { isRender = false, isLost = false, own = secret, held = cookie } = {}) {
      const answer = new Headers();
      const cookies = cookiesOf({ headers: new Headers({ Cookie: held }) }, answer);
      if (isRender) cookies.set = () => { throw new Error("Cookies can only be modified in a Server Action"); };
      const session = await serverSession({ url, secret: own, cookies, fetch: counting });
      const result = await work(session);
      const set = answer.getSetCookie().at(-1);
      if (set && !isLost) cookie = /Max-Age=0/.test(set) ? "" : set.split(";")[0];
      return { result, set };
    },
  };
  return jar;
}

const me = async ({ client }) => (await client.auth.showMe()).email;
const signIn = ({ client }) => client.auth.signIn({ email, password });

const read = (cookie) => JSON.parse(Buffer.from(cookie.split(/[=.]/)[1], "base64url"));

/** A cookie with this in it, by this server's secret or another. */
function written(item, own = secret) {
  const pair = `__Host-session=${Buffer.from(JSON.stringify(item)).toString("base64url")}`;
  return `${pair}.${createHmac("sha256", own).update(pair).digest("base64url")}`;
}

/** Let the access token in a cookie be an expired one. */
function expired(cookie) {
  const item = read(cookie);
  const [head, claims, signature] = item.access_token.split(".");
  const old = { ...JSON.parse(Buffer.from(claims, "base64url")), exp: 1 };
  const access_token = [head, Buffer.from(JSON.stringify(old)).toString("base64url"), signature].join(".");
  return written({ ...item, access_token });
}
const tokenIn = (cookie) => read(cookie).refresh_token;

await run({
  async life() {
    const jar = browser();
    const { set } = await jar.visit(({ client }) => client.auth.signUp({ email, password, name: "Ad\xe9 \u{1f331}" }));
    assert.match(set, /^__Host-session=[\w-]+\.[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=60\d{4}; Secure$/);
    assert.equal((await jar.visit(({ user }) => user.name)).result, "Ad\xe9 \u{1f331}");
    assert.equal((await jar.visit(me)).set, undefined);
    await jar.visit(({ client }) => client.auth.changePassword({ current_password: password, new_password: `${password}!` }));
    assert.equal((await jar.visit(me)).result, email);
    await jar.visit(({ client }) => client.auth.signOut());
    assert.equal(jar.cookie, "");
    assert.equal((await jar.visit(({ user }) => user)).result, null);
    assert.equal((await jar.visit((session) => refused(me(session)))).result.status, 401);
    await assert.rejects(serverSession({ url, secret: "short", cookies: { get() {} } }), TypeError);
    for (const cookie of ["__Host-session=x", "__Host-session=%%%", "__Host-session=bnVsbA", "other=1"])
      assert.equal((await jar.visit((session) => refused(me(session)), { held: cookie })).result.status, 401);
  },

  async renders() {
    const jar = browser();
    await jar.visit(({ client }) => client.auth.signUp({ email, password }));
    const held = expired(jar.cookie);
    const first = tokenIn(held);
    // Twenty renders at once, the proxy step before them, and one whose answer was lost: one successor.
    const visits = Array.from({ length: 20 }, () => jar.visit(me, { isRender: true, held }));
    const lost = jar.visit((session) => session.refresh(), { isLost: true, held });
    assert.deepEqual((await Promise.all(visits)).map(({ result }) => result), Array(20).fill(email));
    await lost;
    assert(sent >= 2, `${sent} refreshes`);
    await jar.visit((session) => session.refresh(), { held });
    const second = tokenIn(jar.cookie);
    assert.notEqual(second, first);
    assert.equal((await jar.visit(me)).result, email);
    await jar.visit((session) => session.refresh(), { held });
    assert.equal(tokenIn(jar.cookie), second);

    // The successor is used; a render that comes late with the first cookie is refused, and takes nothing away.
    await jar.visit((session) => session.refresh(), { held: expired(jar.cookie) });
    assert.notEqual(tokenIn(jar.cookie), second);
    const newest = jar.cookie;
    const late = await jar.visit((session) => refused(me(session)), { held });
    assert.equal(late.result.status, 401);
    assert.equal(late.set, undefined);
    assert.equal(jar.cookie, newest);
    assert.equal((await jar.visit(me)).result, email);
  },

  async thief() {
    // Who has the cookie and not the secret is found as soon as both refresh.
    for (const isFirst of [true, false]) {
      const jar = browser();
      await jar.visit(isFirst ? ({ client }) => client.auth.signUp({ email, password }) : signIn);
      const held = expired(jar.cookie);
      async function thief() {
        const body = JSON.stringify({ refresh_token: tokenIn(held) });
        const headers = { "Content-Type": "application/json", "Idempotency-Key": "their-own-key".repeat(3) };
        return (await fetch(`${url}/api/auth/refresh`, { method: "POST", headers, body })).status;
      }
      const owner = async () =>
        (await jar.visit((session) => me(session).then(() => 200, ({ status }) => status), { held, isLost: true })).result;
      const results = [];
      for (const who of isFirst ? [thief, owner] : [owner, thief]) results.push(await who());
      assert.deepEqual(results, [200, 401]);
      assert.equal((await jar.visit((session) => refused(me(session)))).result.status, 401);
    }
  },

  async "a cookie that is made up"() {
    const jar = browser();
    await jar.visit(({ client }) => client.auth.signUp({ email, password, name: "Ada" }));
    const item = read(jar.cookie);
    const [value, mac] = jar.cookie.split("=")[1].split(".");
    const other = { ...item, user: { ...item.user, name: "Somebody else" } };
    assert.equal((await jar.visit(({ user }) => user.name, { held: written(item) })).result, "Ada");
    const madeUp = {
      "as before there was a MAC": `__Host-session=${value}`,
      "an empty MAC": `__Host-session=${value}.`,
      "a MAC of nothing": `__Host-session=${value}.${"A".repeat(43)}`,
      "a MAC that is cut": `__Host-session=${value}.${mac.slice(0, -2)}`,
      "another user with the MAC of the first": `${written(other).split(".")[0]}.${mac}`,
      "another server's": written(item, "another secret, which has at least 32 characters, too"),
      "another name's": `__Host-session=${value}.${createHmac("sha256", secret).update(value).digest("base64url")}`,
      "no JSON": "__Host-session=bnVsbA.bnVsbA",
    };
    for (const [what, held] of Object.entries(madeUp)) {
      const before = sent;
      const { result, set } = await jar.visit(
        async (session) => [session.user, session.client.session.user, (await refused(me(session))).code],
        { held },
      );
      assert.deepEqual([result, set, sent], [[null, null, "NOT_AUTHENTICATED"], undefined, before], what);
    }
    assert.equal((await jar.visit(me)).result, email);
  },
});
