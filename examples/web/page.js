import { closeAccount, openAccount } from "./account.js";
import { createClient } from "./client/index.js";
import { openCopy } from "./client/offline.js";
import { passkeysOf } from "./client/passkeys.js";
import { bindEntrance, hideEntrance, say, showEntrance } from "./entrance.js";
import { ask, find, fromTemplate } from "./forms.js";
import { openList } from "./list.js";
import { plainly, whyOver } from "./messages.js";
import { bindProof } from "./proof.js";
import { clearToasts, toast } from "./toasts.js";

const client = createClient(document.querySelector("meta[name=api]").content, { session: "cookie" });
const { session } = client;
const passkeys = passkeysOf(client);
const prove = bindProof(client, passkeys);

// A link of a mail, or of whoever runs the service: its token leaves the address bar, and so the history, at once.
const [, kind] = /\/(reset|verify|email)$/.exec(location.pathname) ?? [];
let link = kind && { kind, token: location.hash.slice("#token=".length) };
if (link) history.replaceState(null, "", "./");

const tell = (error) => toast(plainly(error), { isError: true });
let list = null; // of whoever is signed in

/** Opens the list of whoever is signed in now, once all of somebody else's is gone from the page. */
let whose; // the id of whoever's it is
let switching = Promise.resolve();
const switchList = () =>
  (switching = switching
    .then(async () => {
      const { user } = session;
      if (whose && whose !== user?.id) clear();
      whose = user?.id;
      if (user) list ??= await openCopy(client).then(openList, () => find("tasks").replaceChildren(fromTemplate("no-list")));
      show();
    })
    .catch(tell));

function clear() {
  list?.close();
  list = null;
  find("tasks").replaceChildren();
  closeAccount();
  closeDialogs();
  clearToasts();
  find("menu").hidePopover();
  history.replaceState(null, "", "./");
}

/** Shows what the address names: #all, #active, #completed, #account, #password, #sessions, or a form of the entrance. */
function show() {
  const name = location.hash.slice(1);
  const { user } = session;
  const isEntrance = !user || link?.kind === "reset";
  const isAccount = !isEntrance && ["account", "password", "sessions"].includes(name);
  const isTasks = !isEntrance && !isAccount;
  const wasEntrance = !find("entrance").hidden;
  const wasAccount = !find("account").hidden;

  find("menu-button").hidden = !user;
  find("who").textContent = user ? user.name || user.email : "";
  find("initial").textContent = find("who").textContent.slice(0, 1).toUpperCase();
  find("menu-email").textContent = user?.email ?? "";
  find("tasks").hidden = !isTasks;
  if (!isEntrance) hideEntrance();
  if (!isAccount) closeAccount();
  if (wasAccount && !isAccount) closeDialogs();

  if (!isEntrance && ["sign-in", "sign-up", "forgotten"].includes(name)) history.replaceState(null, "", "./"); // it is done
  if (isEntrance) showEntrance(link?.kind === "reset" ? "reset" : ["sign-up", "forgotten"].includes(name) ? name : "sign-in");
  if (isAccount) void openAccount(client, name, { leave, passkeys, prove });
  if (isTasks) list?.setFilter(["active", "completed"].includes(name) ? name : "all");
  if (isTasks && wasEntrance) find("new")?.elements.title.focus();
  if (isTasks && wasAccount) find("menu-button").focus();
}

function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

/** Uses the link of a mail, once somebody is signed in: it takes the mailbox and the session. */
async function followLink() {
  if (!link || link.kind === "reset" || !session.user) return;
  try {
    const { kind, token } = link;
    const { email } = await (kind === "verify" ? client.auth.verifyEmail({ token }) : client.auth.confirmEmail({ token }));
    toast(`Thank you: ${email} is your address.`);
  } catch (error) {
    tell(error);
    if (!error.status) return; // it can be used later
  }
  link = null;
}

async function signOut(which) {
  const mine = list; // which is closed as soon as the session is over
  const waiting = (await mine?.waiting().catch(() => 0)) ?? 0;
  const lost = `${waiting === 1 ? "One change has" : `${waiting} changes have`} not been sent yet, and would be lost.`;
  if (waiting && !(await ask(lost, "Sign out"))) return;
  await client.auth.signOut(which);
  await mine?.delete(); // others who use this browser find nothing
}

/** Deletes the account, and what this browser has of it. */
async function leave(sent) {
  const mine = list;
  await client.auth.deleteMe(sent);
  await mine?.delete();
  say("The account and everything in it is deleted.");
}

bindEntrance(client, passkeys, {
  token: () => link.token,
  done: () => ((link = null), show()),
});
for (const [id, which] of [["sign-out", {}], ["sign-out-everywhere", { everywhere: true }]])
  find(id).onclick = () => signOut(which).catch(tell);
find("menu").addEventListener("click", () => find("menu").hidePopover());
addEventListener("hashchange", show);
session.onChange(({ state, reason }) => {
  say(state === "signed-out" ? whyOver(reason) || "You are signed out." : "");
  void switchList().then(followLink);
});
navigator.serviceWorker?.register("sw.js").catch(() => {}); // without it the page needs a network to be loaded

await session.ready;
say(session.user ? "" : link?.kind === "verify" || link?.kind === "email" ? "Sign in, and the link is used." : whyOver(session.reason));
await switchList();
await followLink();
