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
  // Calls the work with the lock, or with null where there are no locks: then every tab gets the same pair.
  const oneAtATime = (work) => navigator.locks ? navigator.locks.request("tokens", work) : work(null);
  const begin = (path, body, token) => oneAtATime(() => session.begin(path, body, token));
  const refresh = (expired) => oneAtATime((lock) => session.refresh(expired, lock));

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

const withKey = (key) => (key ? { "Idempotency-Key": key } : {});
const randomKey = () => btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))));
// Each pair has a key of its own: of two who have a copy of the same one, who refreshes second is found. Without a lock
// all tabs that asked for a pair at once must go on with one key, which is that of the pair before.
const nextKey = (key, lock) => (lock || !key ? randomKey() : key);
const signOutQuietly = (send, body) => send("POST", "/api/auth/signout", body).catch(() => {});

/** The refresh token lies in the browser's cookie, the access token in this tab, the key of the refresh in the store. */
function inCookie(send, store) {
  let token = null;
  const key = () => store.getItem("refresh-key");
  const keepKey = (value) => store.setItem("refresh-key", value);
  const forget = () => ((token = null), store.removeItem("refresh-key"), store.removeItem("session"));
  return {
    forget,
    isOpen: () => key() !== null,
    token: () => token,
    signOutBody: (which) => which,
    async begin(path, body, bearer) {
      const answer = await send("POST", path, { ...body, cookie: true }, bearer);
      keepKey(randomKey());
      store.setItem("session", randomKey()); // tells other tabs that somebody has signed in
      token = answer.access_token;
      return answer;
    },
    async refresh(expired, lock) {
      if (token !== expired) return; // another call was here before
      for (let tries = 1; ; tries++) {
        const sent = key();
        if (!sent) return forget(); // another tab has signed out
        // What is sent stays until it is answered: this tab may not see yet what another has stored.
        keepKey(sent);
        try {
          const answer = await send("POST", "/api/auth/refresh", { cookie: true }, null, withKey(sent));
          keepKey(nextKey(sent, lock));
          token = answer.access_token;
          return;
        } catch (refusal) {
          if (refusal.status !== 401) throw refusal;
          if (refusal.code === "NOT_AUTHENTICATED") return forget(); // there is no cookie: the session is over
          if (tries < 20) continue; // another tab may have had a newer one meanwhile
          await signOutQuietly(send); // or a thief runs ahead, who has nothing then
          return forget();
        }
      }
    },
  };
}

/** Both tokens lie in the store, where every script of the page can read them. */
function inStorage(send, store) {
  const kept = () => JSON.parse(store.getItem("tokens"));
  const keep = (tokens) => (store.setItem("tokens", JSON.stringify(tokens)), tokens);

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
      const last = kept()?.refresh_token ?? store.getItem("device") ?? undefined;
      const device = path.endsWith("/signin") ? { refresh_token: last } : {};
      return keep({ ...(await send("POST", path, { ...device, ...body }, bearer)), key: randomKey() });
    },
    async refresh(expired, lock) {
      const tokens = kept();
      if (tokens?.access_token !== expired) return; // another call, or another tab, was here before
      const { refresh_token, key } = tokens;
      const isNewest = () => kept()?.refresh_token === refresh_token;
      try {
        const pair = await send("POST", "/api/auth/refresh", { refresh_token }, null, withKey(key));
        if (isNewest()) keep({ ...pair, key: nextKey(key, lock) });
      } catch (refusal) {
        if (refusal.status !== 401) throw refusal;
        if (!isNewest()) return;
        await signOutQuietly(send, { refresh_token }); // a thief who runs ahead of this pair has nothing then
        forget();
      }
    },
  };
}
