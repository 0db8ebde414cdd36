import { createApi } from "./api.js";

const find = (id) => document.getElementById(id);
const api = createApi(document.querySelector("meta[name=api]").content, "cookie");
const PAGE_SIZE = 50;

// What forward.js has sent on from a link. The token goes out of the address bar, and so out of the history, at once.
const [, linkKind, linkToken] = location.hash.match(/^#(reset|verify|email)-token=(.+)$/) ?? [];
let link = linkKind && { kind: linkKind, token: linkToken };
if (link) history.replaceState(null, "", location.pathname);

/** Does what a person asked for and shows what they are told: the API's own sentence if it refuses. */
async function tell(work) {
  find("said").textContent = "";
  try {
    find("said").textContent = (await work()) ?? "";
  } catch (refusal) {
    find("said").textContent = refusal.status ? refusal.message : "The service cannot be reached. Please try again.";
  }
  show();
}

function show() {
  const isReset = link?.kind === "reset";
  find("reset").hidden = !isReset;
  find("account").hidden = isReset || api.isSignedIn();
  find("signed-in").hidden = isReset || !api.isSignedIn();
  if (!api.isSignedIn()) find("tasks").replaceChildren();
}

const fromTemplate = (id) => find(id).content.cloneNode(true).firstElementChild;
const taskPath = (task) => `/api/tasks/${task.id}`;

function taskItem(task) {
  const item = fromTemplate("task");
  const [row, form] = item.children;
  const [box, text] = [row.querySelector("input"), row.querySelector("span")];
  const [editButton, deleteButton] = row.querySelectorAll("button");

  function showTask() {
    text.textContent = task.title;
    box.checked = task.completed;
  }

  function setEditing(isEditing) {
    row.hidden = isEditing;
    form.hidden = !isEditing;
    (isEditing ? form.title : editButton).focus();
  }

  const change = (fields) =>
    tell(async () => {
      try {
        task = await api.call("PATCH", taskPath(task), fields);
        if (fields.title) setEditing(false); // if it is refused, what was typed stays
      } finally {
        showTask();
      }
    });

  // The wanted state, not a toggle: it can be sent again.
  box.onchange = () => change({ completed: box.checked });
  editButton.onclick = () => {
    form.title.value = task.title;
    setEditing(true);
  };
  form.onkeydown = (event) => {
    if (event.key === "Escape") setEditing(false);
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    change({ title: form.title.value });
  };
  deleteButton.onclick = () =>
    tell(async () => {
      await api.call("DELETE", taskPath(task));
      const next = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      (next?.querySelector("input") ?? find("new").title).focus();
    });
  showTask();
  return item;
}

async function loadTasks() {
  const offset = find("tasks").children.length;
  const tasks = await api.call("GET", `/api/tasks?limit=${PAGE_SIZE}&offset=${offset}`);
  find("tasks").append(...tasks.map(taskItem));
  find("more").hidden = tasks.length < PAGE_SIZE;
}

async function load() {
  find("tasks").replaceChildren();
  if (!api.isSignedIn()) return link && link.kind !== "reset" ? "Sign in, and the link is used." : "";
  await loadTasks();
  const said = await followLink();
  await loadAddress();
  return said;
}

/** Shows the address, and whether it is proven; nothing where the service sends no mail. */
async function loadAddress() {
  try {
    const { email, verified_at } = await api.call("GET", "/api/auth/email");
    find("address").textContent = `Now: ${email}${verified_at ? "" : ", not proven"}`;
    find("unproven").hidden = verified_at !== null;
    find("move").hidden = false;
  } catch (refusal) {
    if (refusal.status !== 501) throw refusal;
  }
}

/** Uses the link of a mail, once somebody is signed in: it takes the mailbox and the session. */
async function followLink() {
  if (!link || link.kind === "reset") return;
  const { kind, token } = link;
  link = null;
  const path = kind === "verify" ? "/api/auth/email/verify" : "/api/auth/email/confirm";
  const { email } = await api.call("POST", path, { token });
  return `Thank you: ${email} is your address.`;
}

async function loadSessions() {
  const items = (await api.call("GET", "/api/auth/sessions")).map((session) => {
    const item = fromTemplate("session");
    const used = new Date(session.last_used_at).toLocaleString();
    item.querySelector("span").textContent = `${session.device ?? "A device"}${session.current ? " (this one)" : ""}, ${used}`;
    item.querySelector("button").hidden = session.current;
    item.querySelector("button").onclick = () =>
      tell(async () => {
        await api.call("DELETE", `/api/auth/sessions/${session.id}`);
        item.remove();
      });
    return item;
  });
  find("sessions").replaceChildren(...items);
}

/** Calls the work with a form's fields and what was pressed, and empties the form if it succeeds. */
function onSubmit(id, work) {
  find(id).onsubmit = (event) => {
    event.preventDefault();
    tell(async () => {
      const said = await work(Object.fromEntries(new FormData(event.target)), event.submitter?.value);
      event.target.reset();
      return said;
    });
  };
}

onSubmit("account", async (account, pressed) => {
  const device = `A web page on ${navigator.userAgentData?.platform ?? navigator.platform}`;
  const { user } = await api[pressed || "signIn"]({ ...account, device });
  show();
  return (await load()) || `Hello ${user.name ?? user.email}`;
});
onSubmit("reset", async ({ new_password }) => {
  const { detail } = await api.call("POST", "/api/auth/reset", { token: link.token, new_password });
  link = null;
  return detail;
});
onSubmit("move", async ({ new_email, current_password }) => {
  const { detail } = await api.call("POST", "/api/auth/email", { email: new_email, proof: { current_password } });
  return detail;
});
find("forgot").onclick = () =>
  tell(async () => {
    const field = find("account").email;
    if (!field.reportValidity()) return;
    return (await api.call("POST", "/api/auth/reset/mail", { email: field.value })).detail;
  });
find("prove").onclick = () => tell(async () => (await api.call("POST", "/api/auth/email/verify/mail")).detail);
onSubmit("new", async (task) => {
  find("tasks").prepend(taskItem(await api.call("POST", "/api/tasks", task)));
});
onSubmit("password", async (passwords) => {
  await api.changePassword(passwords);
  await loadSessions();
  return "The password is changed, and every other session has ended.";
});
onSubmit("leave", async (password) => (await api.deleteAccount(password)).detail);
find("more").onclick = () => tell(loadTasks);
find("settings").ontoggle = (event) => {
  if (event.target.open) tell(loadSessions);
};
find("sign-out").onclick = () => tell(async () => (await api.signOut()).detail);
find("sign-out-others").onclick = () => tell(async () => (await api.signOut({ others: true })).detail);
// Another tab has signed out, or somebody else in, whose access token this one does not have.
addEventListener("storage", ({ key }) => {
  if (key === "session") location.reload();
});

show();
tell(load);
