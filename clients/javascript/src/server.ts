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
  /** At least 32 characters that only this server has: who has copied the cookie cannot refresh its tokens unnoticed. */
  secret: string;
  cookies: Cookies;
  /** False only on http://localhost in browsers that set no secure cookies there (Safari). */
  secure?: boolean;
}

export interface ServerSession {
  readonly client: Client;
  /** Whom the cookie names, which a browser may have made up: good to greet by. `client.auth.showMe()` is proof. */
  readonly user: User | null;
  /** Exchange the tokens if the access token is good for less than a minute: where cookies can be set. */
  refresh(): Promise<void>;
}

const MARGIN_SECONDS = 60;

/**
 * The session of whoever has sent this request: both tokens are in one cookie of the page's host, `__Host-session`. Any
 * number of renders that refresh at once, and one whose `Set-Cookie` was lost, get the same successor.
 */
export function serverSession({ url, secret, cookies, secure = true, ...options }: ServerOptions): ServerSession {
  if (secret.length < 32) throw new TypeError("The secret needs at least 32 characters.");
  const name = secure ? "__Host-session" : "session-local";
  const found = cookies.get(name);
  let item = decoded(typeof found === "string" ? found : found?.value);

  function save(text: string) {
    item = text;
    const { refresh_token, reason } = JSON.parse(text);
    // A late render with an old cookie is refused, too: the browser may have a newer one by now.
    if (!refresh_token && reason === "elsewhere") return;
    const maxAge = refresh_token ? Math.max(0, claimsOf(refresh_token).exp - Math.floor(Date.now() / 1000)) : 0;
    const value = refresh_token ? encoded(text) : "";
    try {
      cookies.set(name, value, { path: "/", httpOnly: true, secure, sameSite: "lax", maxAge });
    } catch {
      // While a page is rendered no cookie can be set: the next request gets the same successor.
    }
  }

  const store: Store = {
    getItem: () => item,
    setItem: (_, text) => save(text),
    lock: (work) => work(),
    refreshKey: (token) => hmac(secret, token),
  };
  const client = createClient(url, { ...options, session: store });
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

const encoded = (text: string) => base64url(new TextEncoder().encode(text));

function decoded(value: string | undefined): string | null {
  try {
    const text = atob(value!.replace(/-/g, "+").replace(/_/g, "/"));
    const item = new TextDecoder().decode(Uint8Array.from(text, (char) => char.charCodeAt(0)));
    return JSON.parse(item).refresh_token ? item : null;
  } catch {
    return null;
  }
}

const base64url = (bytes: Uint8Array) =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");

async function hmac(secret: string, text: string): Promise<string> {
  const bytes = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes.encode(secret), algorithm, false, ["sign"]);
  return base64url(new Uint8Array(await crypto.subtle.sign(algorithm, key, bytes.encode(text))));
}
