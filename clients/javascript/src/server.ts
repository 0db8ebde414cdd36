import { fromBase64url, toBase64url } from "./base64url.js";
import { createClient, type Client, type ClientOptions, type User } from "./index.js";
import { claimsOf, type Store } from "./session.js";

export interface CookieOptions {
  path: "/";
  httpOnly: true;
  secure: boolean;
  sameSite: "lax";
  maxAge: number;
}

/** The cookies of one request and its answer, as `cookies()` of Next.js has them. */
export interface Cookies {
  get(name: string): { value: string } | string | undefined;
  /** May throw where nothing can be set, as while Next.js renders. */
  set(name: string, value: string, options: CookieOptions): unknown;
}

export interface ServerOptions extends Omit<ClientOptions, "session"> {
  /** The service's address. */
  url: string;
  /** At least 32 characters that only this server has: nobody else makes a cookie, and who has copied one cannot refresh
   * its tokens unnoticed. */
  secret: string;
  cookies: Cookies;
  /** False only on http://localhost in browsers that set no secure cookies there (Safari). */
  secure?: boolean;
}

export interface ServerSession {
  readonly client: Client;
  /** Whom this server has signed in with this cookie. Whether that session goes on, `client.auth.showMe()` knows. */
  readonly user: User | null;
  /** Exchange the tokens if the access token is good for less than a minute: where cookies can be set. */
  refresh(): Promise<void>;
}

const MARGIN_SECONDS = 60;

/**
 * The session of whoever has sent this request: both tokens are in one cookie of the page's host, `__Host-session`, which
 * is none if this server has not made it. Any number of renders that refresh at once, and one whose `Set-Cookie` was lost,
 * get the same successor.
 */
export async function serverSession(options: ServerOptions): Promise<ServerSession> {
  const { url, secret, cookies, secure = true, ...more } = options;
  if (secret.length < 32) throw new TypeError("The secret needs at least 32 characters.");
  const name = secure ? "__Host-session" : "session-local";
  const found = cookies.get(name);
  const key = await keyOf(secret);
  const signed = (value: string) => bytesOf(`${name}=${value}`); // no refresh token begins like this
  let item = await verified(typeof found === "string" ? found : found?.value);

  /** What is in a cookie of this server. */
  async function verified(cookie = ""): Promise<string | null> {
    try {
      const [value, mac] = cookie.split(".") as [string, string];
      const isOwn = await crypto.subtle.verify("HMAC", key, fromBase64url(mac), signed(value));
      return isOwn ? new TextDecoder().decode(fromBase64url(value)) : null;
    } catch {
      return null;
    }
  }

  async function save(text: string) {
    if (text === item) return;
    item = text;
    const { refresh_token, reason } = JSON.parse(text);
    // A late render with an old cookie is refused, too: the browser may have a newer one by now.
    if (!refresh_token && reason === "elsewhere") return;
    const maxAge = refresh_token ? Math.max(0, claimsOf(refresh_token).exp - Math.floor(Date.now() / 1000)) : 0;
    const value = toBase64url(bytesOf(text));
    const cookie = refresh_token ? `${value}.${await hmac(key, signed(value))}` : "";
    try {
      cookies.set(name, cookie, { path: "/", httpOnly: true, secure, sameSite: "lax", maxAge });
    } catch {
      // While a page is rendered no cookie can be set: the next request gets the same successor.
    }
  }

  const store: Store = {
    getItem: () => item,
    setItem: (_, text) => save(text),
    lock: (work) => work(),
    refreshKey: (token) => hmac(key, bytesOf(token)),
  };
  const client = createClient(url, { ...more, session: store });
  return {
    client,
    get user() {
      return item ? (JSON.parse(item).user ?? null) : null;
    },
    async refresh() {
      const token = item && JSON.parse(item).access_token;
      if (token && claimsOf(token).exp - Date.now() / 1000 < MARGIN_SECONDS) await client.session.refresh();
    },
  };
}

/** The cookies of a `Request`, set on the headers of its answer. */
export function cookiesOf(request: { headers: Headers }, answer: Headers): Cookies {
  const sent = new Map(
    (request.headers.get("Cookie") ?? "").split(/; */).map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]),
  );
  return {
    get: (name) => sent.get(name),
    set(name, value, { maxAge, secure }) {
      sent.set(name, value);
      const end = `; Path=/; HttpOnly; SameSite=Lax; Max-Age=${maxAge}${secure ? "; Secure" : ""}`;
      answer.append("Set-Cookie", `${name}=${value}${end}`);
    },
  };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

const keyOf = (secret: string) =>
  crypto.subtle.importKey("raw", bytesOf(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);

const hmac = async (key: CryptoKey, bytes: Uint8Array<ArrayBuffer>) =>
  toBase64url(new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes)));
