import type { AddressRead, SignedInRead, TokenRead, UserRead } from "./api.js";
import { isUnauthorized, OtherAccount } from "./errors.js";
import type { Send } from "./http.js";
import { randomKey } from "./random.js";

type May<T> = T | Promise<T>;

/** Where a session is kept, as `localStorage` or React Native's `AsyncStorage` keep things. */
export interface Store {
  getItem(name: string): May<string | null>;
  setItem(name: string, value: string): May<unknown>;
  /** Does the work while nobody else who has this store does any. A store that processes share needs its own. */
  lock?<T>(work: () => Promise<T>): Promise<T>;
  /** The key of the refresh with this token, where keys are derived and not kept (`./server`). */
  refreshKey?(refreshToken: string): May<string>;
}

/** `user`: signed out here; `elsewhere`: ended on another device; `reused`: somebody else had a copy of the token. */
export type Reason = "user" | "expired" | "reused" | "elsewhere";
export type SessionChange =
  | { state: "signed-in" | "refreshed"; reason: null }
  | { state: "signed-out"; reason: Reason };

export interface Session {
  /** Who is signed in; null for nobody, and until `ready`. */
  readonly user: UserRead | null;
  /** Why nobody is signed in any more. */
  readonly reason: Reason | null;
  /** Resolves when the store has been read. */
  readonly ready: Promise<void>;
  /** Exchange the tokens now. */
  refresh(): Promise<void>;
  /** Sign in by a route that answers as `signIn` does, as `./passkeys` does; with a token, go on with a new pair. */
  begin(path: string, body?: object, token?: string): Promise<SignedInRead>;
  /** Hears of all that happens to the session, in this tab and in others; returns what ends it. */
  onChange(listener: (change: SessionChange) => void): () => void;
}

/** What is kept: a session that is open has a user. */
interface Kept {
  id?: string; // of this sign-in: another one when somebody else signs in
  user?: UserRead;
  access_token?: string | undefined;
  refresh_token?: string | undefined;
  key?: string;
  reason?: Reason; // why it is over
  device?: string | undefined; // its last refresh token, worthless but for saying at sign-in that this device is known
}
type Pair = TokenRead & { user?: UserRead };

/** What a token says, unverified. */
export const claimsOf = (token: string) => JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));

function inMemory(): Store {
  let item: string | null = null;
  return { getItem: () => item, setItem: (_, value) => (item = value), lock: (work) => work() };
}

function inBrowser(): Store | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined; // a browser that keeps nothing for this page
  }
}

/** `timeout` is how many milliseconds the lock is waited for. */
export function createSession(send: Send, url: string, where: "cookie" | "storage" | Store, timeout: number) {
  const hasCookie = where === "cookie";
  const isOwn = typeof where === "string";
  const store = isOwn ? (inBrowser() ?? inMemory()) : where;
  const name = `auth-tasks ${url}`;
  const listeners = new Set<(change: SessionChange) => void>();
  let kept: Kept | null = null;
  let inTab: { id: string; token: string } | null = null; // in cookie mode the access token stays in this tab

  function take(item: Kept | null) {
    const before = kept;
    kept = item;
    if ((!before?.user && !item?.user) || JSON.stringify(before) === JSON.stringify(item)) return item;
    const change = item?.user
      ? { state: before?.id === item.id ? "refreshed" : "signed-in", reason: null }
      : { state: "signed-out", reason: item?.reason ?? "user" };
    // By promises, so that a listener that fails stops nobody.
    for (const listener of listeners) void Promise.resolve(change as SessionChange).then(listener);
    return item;
  }

  let writes = 0;
  async function read() {
    const before = writes;
    const text = await store.getItem(name);
    return before === writes ? take(text ? JSON.parse(text) : null) : kept; // or it was written meanwhile
  }
  async function write(item: Kept) {
    writes++;
    await store.setItem(name, JSON.stringify(item));
    return take(item);
  }
  const tokenOf = (item: Kept | null) =>
    item?.user && (!hasCookie ? item.access_token : inTab?.id === item.id ? inTab!.token : undefined);

  async function keep({ id = randomKey(), user: before }: Kept, pair: Pair, key: string) {
    const { access_token, refresh_token, user = before! } = pair;
    if (hasCookie) inTab = { id, token: access_token };
    await write({ id, user, key, refresh_token, ...(!hasCookie && { access_token }) });
  }

  const forget = (reason: Reason) => write({ reason, device: device() });
  const device = () => kept?.refresh_token ?? kept?.device;

  const locks = globalThis.navigator?.locks;
  let last: Promise<unknown> = Promise.resolve();
  /** Does the work when no other work of this session is done; `alone` says whether that holds for other tabs, too. */
  function exclusive<T>(work: (alone: boolean) => Promise<T>): Promise<T> {
    let hasBegun: unknown;
    const alone = () => work((hasBegun = true));
    async function next() {
      try {
        if (store.lock) return await store.lock(alone);
        if (locks) return await (locks.request(name, { signal: AbortSignal.timeout(timeout) }, alone) as Promise<T>);
      } catch (error) {
        if (hasBegun) throw error; // otherwise the browser has stopped the tab that has the lock, maybe for ever
      }
      return work(false);
    }
    const done = last.then(next, next);
    last = done.catch(() => {});
    return done;
  }

  const sendSignOut = (which: object, token?: string) =>
    send("POST", "/api/auth/signout", { body: { refresh_token: kept?.refresh_token, ...which } }, token);

  const refresh = (stale: string | undefined) => exclusive((alone) => exchange(stale, alone));

  async function exchange(stale: string | undefined, alone: boolean): Promise<unknown> {
    let why: Reason | undefined;
    for (let tries = 1; ; tries++) {
      const sent = await read();
      if (!sent?.user || tokenOf(sent) !== stale) return; // another call, or another tab, was here before
      // What is sent stays until it is answered: this tab may not see yet what another has stored.
      if (hasCookie) await write(sent);
      const mark = hasCookie ? "id" : "refresh_token"; // another tab may have signed out, or somebody else in
      const isNewest = async () => (await read())?.[mark] === sent[mark];
      const key = (await store.refreshKey?.(sent.refresh_token!)) ?? sent.key!;
      try {
        const body = { cookie: hasCookie, refresh_token: sent.refresh_token };
        const { content } = await send("POST", "/api/auth/refresh", { body, headers: { "Idempotency-Key": key } });
        // Each pair has a key of its own: of two who have a copy of the same one, who refreshes second is found.
        // Without a lock all tabs that asked for a pair at once must go on with one key, which is that of the pair before.
        if (!(await isNewest())) return;
        // Another page of the service, with a storage of its own, has signed somebody else in: the cookie is theirs.
        if (claimsOf(content.access_token).sub !== sent.user.id) return forget("elsewhere");
        return keep(sent, content, alone ? randomKey() : key);
      } catch (error) {
        if (!isUnauthorized(error)) throw error;
        if (!(await isNewest())) return;
        const isGone = error.code === "NOT_AUTHENTICATED"; // there is no cookie: the session is over
        const isExpired =
          error.code !== "INVALID_TOKEN" || (sent.refresh_token && claimsOf(sent.refresh_token).exp * 1000 < Date.now());
        why ??= error.code === "REFRESH_TOKEN_REUSED" ? "reused" : isExpired ? "expired" : "elsewhere";
        if (hasCookie && !isGone && tries < 20) continue; // another tab may have had a newer one meanwhile
        // A thief who runs ahead of this pair has nothing then. Where keys are derived nobody can.
        if (!isGone && !store.refreshKey) await sendSignOut({}).catch(() => {});
        return forget(why);
      }
    }
  }

  /** Does the work with an access token, again with a new one when that has expired. */
  async function withToken<T>(work: (token?: string) => Promise<T>, as?: string): Promise<T> {
    for (let tries = 1; ; tries++) {
      if ((await read())?.user && !tokenOf(kept)) await refresh(undefined);
      const token = tokenOf(kept);
      if (token && kept!.user!.id !== (as ??= kept!.user!.id)) throw new OtherAccount("Another account is signed in.");
      try {
        return await work(token);
      } catch (error) {
        // Twice: a pair that is asked for again long after has an expired access token.
        if (!isUnauthorized(error) || !token || tries > 2) throw error;
        await refresh(token);
        if (!kept?.user) throw error;
      }
    }
  }

  /** Sign in, or go on with a new pair. */
  const begin = (path: string, body: object = {}, token?: string) =>
    exclusive(async () => {
      const before = await read();
      // At sign-in the last one: others who guess cannot lock this device out.
      const more = { cookie: hasCookie, refresh_token: path.endsWith("/signin") ? device() : undefined };
      const { content } = await send("POST", path, { body: { ...more, ...body } }, token);
      // Under a token it is the same session, which has a new pair, unless somebody else has signed in meanwhile.
      if (!token || claimsOf(content.access_token).sub === before?.user?.id)
        await keep(token ? before! : {}, content, randomKey());
      return content;
    });

  const signOut = (which: { everywhere?: boolean; others?: boolean } = {}) =>
    exclusive(async () => {
      await read();
      try {
        const { content } = await sendSignOut(which, tokenOf(kept));
        if (!which.others) await forget("user");
        return content;
      } catch (error) {
        const wasOver = isUnauthorized(error);
        // Only the service can remove the cookie: until it has, this page is signed in.
        if (wasOver || (!hasCookie && !which.others)) await forget("user");
        if (!wasOver || which.others || which.everywhere) throw error;
        return { detail: error.message };
      }
    });

  /** Take over what the service says of this account, as after a new name or address; without one it is deleted. */
  const updateUser = (who: string | undefined, { verified_at, ...user }: Partial<UserRead & AddressRead>) =>
    exclusive(async () => {
      const now = await read();
      if (now?.user?.id !== who) return; // somebody else has signed in meanwhile
      await (user.email ? write({ ...now, user: { ...now!.user!, ...user } }) : forget("user"));
    });

  const ready = read().then(() => {});
  // Another tab has written, or everything was removed.
  if (isOwn) globalThis.addEventListener?.("storage", () => void read());

  const session: Session = {
    get user() {
      return kept?.user ?? null;
    },
    get reason() {
      return kept?.reason ?? null;
    },
    ready,
    begin,
    refresh: async () => void (await refresh(tokenOf(await read()))),
    onChange: (listener) => (listeners.add(listener), () => void listeners.delete(listener)),
  };
  return { session, withToken, signOut, updateUser };
}
