/**
 * The API for a web page. Calls that meet an expired access token at once share one refresh, any number of tabs stay signed
 * in together, and a lost answer signs nobody out. An error response is thrown as an Error with its members, `status` and
 * `retryAfter`.
 *
 * @param {string} base the API's origin, "" if it is the page's own
 * @param {"cookie" | "storage"} where the refresh token is kept: in a cookie that no script can read, for which page and
 *   API must be of one site, or in `store`
 */
export function createApi(base, where = "cookie", store = localStorage) {
  async function send(method, path, body, token, { ...headers } = {}) {
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    const credentials = where === "cookie" && path.startsWith("/api/auth/") ? "include" : "same-origin";
    const answer = await fetch(base + path, { method, headers, credentials, body: body && JSON.stringify(body) });
    if (answer.ok) return answer.status === 204 ? null : answer.json(); // fails if the answer was cut
    const content = await answer.json().catch(() => null); // or a proxy's own words
    const { status, statusText } = answer;
    const retryAfter = answer.headers.get("Retry-After");
    throw Object.assign(new Error(content?.detail ?? statusText), content, { status, retryAfter });
  }

  const session = where === "cookie" ? inCookie(send, store) : inStorage(send, store);
  // Saves requests where there are locks; without one every tab gets the same pair.
  const oneAtATime = (work) => navigator.locks ? navigator.locks.request("tokens", work) : work();
  const begin = (path, body, token) => oneAtATime(() => session.begin(path, body, token));
  const refresh = (expired) => oneAtATime(() => session.refresh(expired));

  /** Does the work with an access token, again with a new one when that has expired. */
  async function withToken(work) {
    for (let tries = 1; ; tries++) {
      if (session.isOpen() && !session.token()) await refresh(null);
      const token = session.token();
      try {
        return await work(token);
      } catch (refusal) {
        // Twice: a pair that is asked for again long after has an expired access token.
        if (refusal.status !== 401 || !token || tries > 2) throw refusal;
        await refresh(token);
      }
    }
  }

  async function signOut(which) {
    try {
      const answer = await send("POST", "/api/auth/signout", session.signOutBody(which), session.token());
      if (!which?.others) session.forget();
      return answer;
    } catch (refusal) {
      // Only the service can remove the cookie: until it has, this page is signed in.
      if (refusal.status === 401 || (where === "storage" && !which?.others)) session.forget();
      throw refusal;
    }
  }

  async function deleteAccount(password) {
    const answer = await withToken((token) => send("POST", "/api/auth/me/delete", password, token));
    session.forget();
    return answer;
  }

  return {
    isSignedIn: () => session.isOpen(),
    signUp: (account) => begin("/api/auth/signup", account),
    signIn: (account) => begin("/api/auth/signin", account),
    /** @param {{ everywhere?: boolean, others?: boolean }} [which] other sessions, too, or all others instead */
    signOut: (which) => oneAtATime(() => signOut(which)),
    changePassword: (passwords) => withToken((token) => begin("/api/auth/password", passwords, token)),
    deleteAccount,
    call: (method, path, body, headers) => withToken((token) => send(method, path, body, token, headers)),
  };
}

const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
const withKey = (key) => (key ? { "Idempotency-Key": key } : {});
const randomKey = () => base64(crypto.getRandomValues(new Uint8Array(32)));

/** The refresh token lies in the browser's cookie, the access token in this tab, one key for the session in the store. */
function inCookie(send, store) {
  let token = null;
  const key = () => store.getItem("refresh-key");
  const forget = () => ((token = null), store.removeItem("refresh-key"));
  return {
    forget,
    isOpen: () => key() !== null,
    token: () => token,
    signOutBody: (which) => which,
    async begin(path, body, bearer) {
      const answer = await send("POST", path, { ...body, cookie: true }, bearer);
      store.setItem("refresh-key", randomKey());
      token = answer.access_token;
      return answer;
    },
    async refresh(expired) {
      if (token !== expired) return; // another call was here before
      for (let tries = 1; ; tries++) {
        try {
          const answer = await send("POST", "/api/auth/refresh", { cookie: true }, null, withKey(key()));
          token = answer.access_token;
          return;
        } catch (refusal) {
          if (refusal.status !== 401) throw refusal;
          // Without a cookie the session is over. With one, another tab may have had a newer one meanwhile.
          if (refusal.code === "NOT_AUTHENTICATED" || tries === 20) return forget();
        }
      }
    },
  };
}

/** Both tokens lie in the store, where every script of the page can read them. */
function inStorage(send, store) {
  const kept = () => JSON.parse(store.getItem("tokens"));
  const keep = (tokens) => (store.setItem("tokens", JSON.stringify(tokens)), tokens);

  // A pair with the key of its own refresh, derived so that all tabs that got this pair go on with one key.
  async function keyed(pair, keyBefore = randomKey()) {
    const text = new TextEncoder().encode(keyBefore + pair.refresh_token);
    return { ...pair, key: base64(new Uint8Array(await crypto.subtle.digest("SHA-256", text))) };
  }

  function forget() {
    const token = kept()?.refresh_token;
    if (token) store.setItem("device", token); // worthless but for saying at sign-in that this device is known
    keep(null);
  }

  return {
    forget,
    isOpen: () => kept() !== null,
    token: () => kept()?.access_token,
    signOutBody: (which) => ({ refresh_token: kept()?.refresh_token, ...which }),
    async begin(path, body, bearer) {
      const device = path.endsWith("/signin") ? { refresh_token: store.getItem("device") ?? undefined } : {};
      return keep(await keyed(await send("POST", path, { ...device, ...body }, bearer)));
    },
    async refresh(expired) {
      const tokens = kept();
      if (tokens?.access_token !== expired) return; // another call, or another tab, was here before
      const { refresh_token, key } = tokens;
      const isNewest = () => kept()?.refresh_token === refresh_token;
      try {
        const pair = await keyed(await send("POST", "/api/auth/refresh", { refresh_token }, null, withKey(key)), key);
        if (isNewest()) keep(pair);
      } catch (refusal) {
        if (refusal.status !== 401) throw refusal;
        if (isNewest()) forget();
      }
    },
  };
}
