// Keeps the page's own files, so that it can be loaded without a network. The tasks are in the copy, not here.
const PAGES = ["", "reset", "verify", "email"]; // all are index.html
const FILES = [
  ...["./", "style.css", "icon.svg", "manifest.webmanifest"],
  ...["page.js", "account.js", "conflicts.js", "deletions.js", "entrance.js", "forms.js", "list.js", "messages.js", "passkeys.js", "proof.js"],
  ...["row.js", "toasts.js", "tokens.js"],
  ...[
    ...["api", "base64url", "changes", "database", "errors", "events", "http", "index", "offline", "passkeys", "random"],
    ...["session", "tasks", "uuid5"],
  ].map((name) => `client/${name}.js`),
];
const CACHE = "page";
const LONGEST_WAIT_MS = 3000; // a network may be there and answer nothing

self.addEventListener("install", (event) => {
  const files = FILES.map((name) => new Request(name, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(files)).then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { url, method, mode } = event.request;
  if (method !== "GET" || !url.startsWith(registration.scope)) return;
  const name = url.slice(registration.scope.length).replace(/[?#].*/, "");
  const file = mode === "navigate" && PAGES.includes(name) ? "./" : name;
  if (FILES.includes(file)) event.respondWith(newest(file));
});

/** The file as the server has it now, or as it was when it could be reached last. */
async function newest(file) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(file, { cache: "no-cache", signal: AbortSignal.timeout(LONGEST_WAIT_MS) });
    if (answer.ok && !answer.redirected) await cache.put(file, answer.clone());
    return answer;
  } catch {
    return (await cache.match(file)) ?? Response.error();
  }
}
