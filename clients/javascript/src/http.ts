import { ApiError } from "./errors.js";

export interface Options {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Whether it may be sent again when no answer came. By default: all but PATCH, and POST without a key. */
  again?: boolean;
  /** Take an event stream, too, and leave it to be read as it comes. */
  stream?: boolean;
}

export interface Answer {
  content: any;
  headers: Headers;
  body: ReadableStream<Uint8Array> | null;
}

export type Send = (method: string, path: string, options?: Options, token?: string) => Promise<Answer>;

const ATTEMPTS = 3;

export function createSend(url: string, fetcher: typeof fetch, timeout: number, hasCookie: boolean): Send {
  async function once(method: string, path: string, options: Options, token?: string) {
    const { body, headers, signal, stream } = options;
    const stop = new AbortController();
    const abort = () => stop.abort(signal?.reason);
    const timer = setTimeout(abort, timeout);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    try {
      const answer = await fetcher(url + path, {
        method,
        headers: {
          ...(body ? { "Content-Type": "application/json" } : {}),
          ...(token && { Authorization: `Bearer ${token}` }),
          ...headers,
        },
        body: body ? JSON.stringify(body) : null,
        signal: stop.signal,
        ...(hasCookie && { credentials: path.startsWith("/api/auth/") ? "include" : "same-origin" }),
      });
      const type = answer.headers.get("Content-Type") ?? "";
      const content = type.includes("json") ? await answer.json() : null; // it fails if the answer was cut
      if (answer.ok && (content || answer.status === 204 || (stream && type.includes("event-stream"))))
        return { content, headers: answer.headers, body: answer.body };
      throw refusal(answer, content); // or something else than the service has answered
    } finally {
      clearTimeout(timer);
      if (!stream) signal?.removeEventListener("abort", abort);
    }
  }

  return async (method, path, options = {}, token) => {
    if (!/^\/\w/.test(path)) throw new TypeError(path); // or it might lead to another host
    const again = options.again ?? (method === "POST" ? options.headers?.["Idempotency-Key"] : method !== "PATCH");
    let wasPaused = false;
    for (let lost = 0; ; ) {
      try {
        return await once(method, path, options, token);
      } catch (error) {
        if (error instanceof ApiError) {
          const pause = (error.retryAfter ?? 1) * 1000;
          error.wasLost = lost > 0;
          if (wasPaused || ![429, 503].includes(error.status) || !(again || error.code) || pause > timeout) throw error;
          wasPaused = true;
          await new Promise((done) => setTimeout(done, pause));
        } else if (!again || options.signal?.aborted || ++lost === ATTEMPTS) throw error;
      }
    }
  };
}

const refusal = ({ status, statusText, headers }: Response, content: any) =>
  new ApiError(content?.detail ?? statusText, {
    status,
    code: content?.code ?? null,
    errors: content?.errors ?? [],
    requestId: headers.get("X-Request-ID"),
    retryAfter: +headers.get("Retry-After")! || null,
  });
