import { ApiError, OtherAccount } from "./errors.js";
import * as changes from "./changes.js";
import { asked, openDatabase } from "./database.js";
import { eventsOf } from "./events.js";
import { randomKey } from "./random.js";
import { uuid5 } from "./uuid5.js";
const CHANGED = "The task has been changed elsewhere since.";
const DELETED = "The task has been deleted elsewhere.";
const COME_AGAIN = [401, 408, 429];
const TRIES = 10;
const SILENCE = 45_000; // two beats and a half
const LONGEST_PAUSE = 15; // seconds, and as much again by chance
const FOR_EVER = 2 ** 31 - 1;
const now = () => new Date().toISOString().replace("Z", "000Z"); // as the service writes it
/** Open the copy of the account that is signed in. Each account has a copy of its own. */
export async function openCopy(client) {
    await client.session.ready;
    const userId = client.session.user?.id;
    if (!userId)
        throw new OtherAccount("Nobody is signed in whose copy this could be.");
    const name = `auth-tasks ${client.url} ${userId}`;
    const { transact, close, remove } = await openDatabase(name);
    const locks = globalThis.navigator?.locks;
    const listeners = new Set();
    const channel = globalThis.BroadcastChannel && new BroadcastChannel(name);
    channel?.unref?.(); // in Node.js it would keep the process
    let onWake = () => { };
    const hear = () => {
        for (const listener of [...listeners])
            listener();
        onWake();
    };
    if (channel)
        channel.onmessage = hear;
    let isClosed = false;
    const tell = () => {
        if (!isClosed)
            channel?.postMessage(null);
        hear();
    };
    const change = async (work) => {
        const result = await transact("readwrite", work);
        tell();
        return result;
    };
    const all = (stores, store) => asked(stores(store).getAll());
    async function shown(stores) {
        const [tasks, waiting] = await Promise.all([all(stores, "tasks"), all(stores, "changes")]);
        return changes.withChanges(tasks, waiting, userId);
    }
    async function shownOne(stores, id) {
        const task = (await shown(stores)).get(id);
        if (!task)
            throw new ReferenceError("There is no such task.");
        return task;
    }
    async function append(stores, kind, id, fields, task, key) {
        const known = await asked(stores("tasks").get(id));
        const version = known?.version ?? 1; // 1: its creation waits itself
        const more = { key: key ?? null, made_at: now(), sent: false };
        await asked(stores("changes").add({ kind, id, version, fields, before: changes.picked(task), ...more }));
    }
    async function create(stores, fields) {
        const key = randomKey();
        const id = uuid5(userId, key); // as the service does it
        await append(stores, "create", id, fields, {}, key);
        return shownOne(stores, id);
    }
    // For the synchronisation.
    const request = (method, path, options = {}) => client.request(method, path, { ...options, as: userId });
    /** Of what the service has told, keep what is newer. A part of an answer has no cursor. */
    const take = ({ tasks, deleted }, cursor, everything = false) => change(async (stores) => {
        if (everything)
            stores("tasks").clear();
        await keep(stores, ...tasks);
        const waiting = await all(stores, "changes");
        for (const id of deleted) {
            stores("tasks").delete(id);
            // Its answer was lost, and somebody has deleted the task since: sent again, it would rise.
            for (const it of waiting)
                if (it.id === id && it.kind === "create" && it.sent)
                    stores("changes").delete(it.number);
        }
        if (cursor !== null)
            stores("known").put(cursor, "cursor");
    });
    async function keep(stores, ...tasks) {
        const known = await Promise.all(tasks.map(({ id }) => asked(stores("tasks").get(id))));
        const newest = new Map(known.flatMap((task) => (task ? [[task.id, task]] : [])));
        for (const task of tasks) {
            if (task.version < (newest.get(task.id)?.version ?? 0))
                continue;
            newest.set(task.id, task);
            stores("tasks").put(task);
        }
    }
    /** Take a change from those that wait, unless another tab has, and the task as the service has it now. */
    async function end(stores, { number, id }, task) {
        const waits = await asked(stores("changes").getKey(number));
        stores("changes").delete(number);
        if (task)
            await keep(stores, task);
        else
            stores("tasks").delete(id);
        return waits !== undefined;
    }
    const made = (it, task) => change((stores) => end(stores, it, task));
    /** The same where nobody else has changed the task: what waits for it is meant for the new version. */
    const madeAlone = (it, task) => change(async (stores) => {
        await end(stores, it, task);
        for (const other of await all(stores, "changes"))
            if (other.id === it.id)
                stores("changes").put({ ...other, version: task.version });
    });
    const refused = (it, task, reason) => change(async (stores) => {
        const { id, kind, fields, before } = it;
        if (await end(stores, it, task))
            stores("conflicts").add({ kind, fields, reason, task: { id, ...before, ...fields } });
    });
    const path = (id) => `/api/tasks/${encodeURIComponent(id)}`;
    async function unless(codes, answer) {
        try {
            return await answer;
        }
        catch (error) {
            if (error instanceof ApiError && codes.includes(error.code))
                return null;
            throw error;
        }
    }
    const look = (id) => unless(["TASK_NOT_FOUND"], request("GET", path(id)));
    /** The task as it is after an edit; null after a deletion, and if the service has not got this version. */
    const write = ({ kind, id, fields }, version) => {
        const headers = { "If-Match": `"${version}"` };
        const sent = kind === "delete" ? { headers } : { headers, body: fields };
        const answer = request(kind === "delete" ? "DELETE" : "PATCH", path(id), sent);
        return unless(["TASK_NOT_FOUND", "TASK_CHANGED"], answer);
    };
    async function push(it) {
        const waits = await transact("readwrite", async (stores) => {
            const found = await asked(stores("changes").getKey(it.number));
            if (found)
                stores("changes").put({ ...it, sent: true });
            return found;
        });
        if (!waits)
            return; // another tab, without a lock, was here before
        try {
            if (it.kind !== "create")
                return await pushToExisting(it);
            const headers = { "Idempotency-Key": it.key };
            return await made(it, await request("POST", "/api/tasks", { body: it.fields, headers }));
        }
        catch (error) {
            // No answer, not one of the service, as before a hotel's sign-in page, or one that says to come again.
            if (!(error instanceof ApiError) || !error.code)
                throw error;
            if (COME_AGAIN.includes(error.status) || error.status >= 500)
                throw error;
            return refused(it, await look(it.id), error.message);
        }
    }
    /** Send a change for the version that it was made for; for a newer one if nobody else changed these fields. */
    async function pushToExisting(it) {
        const written = await write(it, it.version);
        if (written)
            return madeAlone(it, written);
        for (let tries = 0; tries < TRIES; tries++) {
            const task = await look(it.id);
            if (!task)
                return it.kind === "delete" ? made(it, null) : refused(it, null, DELETED);
            // The answer was lost, or somebody wanted the same.
            if (it.kind === "edit" && changes.has(task, it.fields))
                return made(it, task);
            if (it.kind === "delete" || !changes.isUntouched(task, it))
                return refused(it, task, CHANGED);
            const merged = await write(it, task.version);
            if (merged)
                return made(it, merged);
        }
        const again = { status: 412, code: null, errors: [], requestId: null, retryAfter: null };
        throw new ApiError("The task is being changed elsewhere at this moment.", again);
    }
    const known = () => transact("readonly", (stores) => asked(stores("known").get("cursor")));
    async function pull() {
        const since = await known();
        const ask = (query) => request("GET", `/api/tasks/changes${query}`);
        const told = since ? await unless(["SYNC_EXPIRED", "VALIDATION_FAILED"], ask(query(since))) : null;
        const { tasks, deleted, next } = told ?? (await ask(""));
        if (!told || tasks.length || deleted.length || next !== since)
            await take({ tasks, deleted }, next, !told);
        return tasks.length + deleted.length;
    }
    async function pushAll() {
        let sent = 0;
        for (;;) {
            const [next] = await transact("readonly", (stores) => asked(stores("changes").getAll(null, 1)));
            if (!next)
                return sent;
            await push(next);
            sent++;
        }
    }
    let last = Promise.resolve();
    /** Does the work while no other tab, and nothing else in this one, brings the copy and the service together. */
    function exclusive(work) {
        const next = () => (locks ? locks.request(name, work) : work());
        const done = last.then(next, next);
        last = done.catch(() => { });
        return done;
    }
    const sync = () => exclusive(async () => {
        const received = await pull();
        const count = () => transact("readonly", (stores) => asked(stores("conflicts").count()));
        const before = await count();
        const sent = await pushAll();
        return { sent, refused: (await count()) - before, received };
    });
    // Following.
    async function lead(signal, every, onState) {
        let failures = 0;
        let wasWoken = false;
        const onOpen = () => ((failures = 0), (wasWoken = false));
        while (!signal.aborted) {
            let pause = 0;
            let canWake = true;
            onWake = () => (wasWoken = true);
            try {
                await sync();
                onOpen();
                pause = await listen(signal, every, onState, onOpen);
            }
            catch (error) {
                if (signal.aborted)
                    return;
                onState("waiting");
                const retryAfter = error instanceof ApiError ? error.retryAfter : null;
                canWake = !retryAfter;
                // By chance, so that not everybody comes back at once.
                pause = (retryAfter ?? Math.min(2 ** failures++, LONGEST_PAUSE) * (1 + Math.random())) * 1000;
                if (client.session.user?.id !== userId)
                    pause = FOR_EVER; // until somebody signs in
            }
            if (!(wasWoken && canWake))
                await rest(pause, signal, canWake);
            wasWoken = false;
        }
    }
    const rest = (pause, signal, canWake) => new Promise((done) => {
        const end = () => {
            clearTimeout(timer);
            signal.removeEventListener("abort", end);
            done();
        };
        const timer = setTimeout(end, signal.aborted ? 0 : pause);
        signal.addEventListener("abort", end);
        onWake = canWake ? end : () => { };
    });
    /** Take what the stream tells until it ends; return how many milliseconds to wait before the next. */
    async function listen(signal, every, onState, onOpen) {
        const stop = new AbortController();
        const abort = () => stop.abort();
        signal.addEventListener("abort", abort, { once: true });
        let silence = setTimeout(abort, SILENCE);
        const onBytes = () => (clearTimeout(silence), (silence = setTimeout(abort, SILENCE)));
        let again;
        let isQueued = false;
        /** Send what waits; where that fails, once more later, however often somebody asks meanwhile. */
        function send() {
            clearTimeout(again);
            if (isQueued || stop.signal.aborted)
                return;
            isQueued = true;
            onWake = send;
            const work = () => ((isQueued = false), pushAll());
            exclusive(work).catch((error) => {
                if (stop.signal.aborted)
                    return;
                const retryAfter = error instanceof ApiError ? error.retryAfter : null;
                if (retryAfter)
                    onWake = () => { };
                clearTimeout(again);
                again = setTimeout(send, (retryAfter ?? 2) * 1000);
            });
        }
        try {
            const since = query((await known()));
            const options = { headers: { Accept: "text/event-stream" }, signal: stop.signal, stream: true, as: userId };
            const answer = await unless(["LIVE_IS_OFF"], client.send("GET", `/api/tasks/changes${since}`, options));
            if (!answer?.body || answer.content) {
                // The service has no stream, or does not know of any.
                onState("polling");
                return every;
            }
            onState("live");
            onOpen();
            send();
            let pause = 2000;
            for await (const { id, event, data } of eventsOf(answer.body, onBytes, (ms) => (pause = ms))) {
                if (event === "end")
                    return JSON.parse(data).code === "TOKEN_EXPIRED" ? 0 : pause;
                const told = JSON.parse(data);
                if (id !== null || told.tasks.length || told.deleted.length)
                    await exclusive(() => take(told, id));
            }
            return pause;
        }
        finally {
            clearTimeout(silence);
            clearTimeout(again);
            signal.removeEventListener("abort", abort);
            stop.abort();
        }
    }
    const following = new Set();
    function follow({ every = 10_000, onState = () => { } } = {}) {
        const stop = new AbortController();
        const work = () => lead(stop.signal, every, onState);
        const done = locks ? locks.request(`${name} live`, { signal: stop.signal }, work) : work();
        done.catch(() => { }); // stopped before it was this tab's turn
        const wake = () => onWake();
        const endSession = client.session.onChange(wake);
        globalThis.addEventListener?.("online", wake);
        const end = () => {
            endSession();
            globalThis.removeEventListener?.("online", wake);
            following.delete(end);
            stop.abort();
        };
        following.add(end);
        return end;
    }
    function closeAll() {
        for (const end of following)
            end();
        if (channel)
            channel.onmessage = null;
        channel?.close();
        isClosed = true;
        close();
    }
    return {
        userId,
        list: (filters = {}) => transact("readonly", async (stores) => changes.newestFirst((await shown(stores)).values(), filters)),
        get: (id) => transact("readonly", async (stores) => (await shown(stores)).get(id) ?? null),
        create: (fields) => change((stores) => create(stores, changes.wanted(fields))),
        edit: (id, fields) => change(async (stores) => {
            const task = await shownOne(stores, id);
            const edit = changes.wanted(fields, task);
            if (Object.keys(edit).length)
                await append(stores, "edit", id, edit, task);
            return shownOne(stores, id);
        }),
        remove: (id) => change(async (stores) => append(stores, "delete", id, {}, await shownOne(stores, id))),
        changes: () => transact("readonly", (stores) => all(stores, "changes")),
        conflicts: () => transact("readonly", (stores) => all(stores, "conflicts")),
        settle: (number, whose) => change(async (stores) => {
            const conflict = await asked(stores("conflicts").get(number));
            if (!conflict)
                throw new ReferenceError("There is no such conflict.");
            stores("conflicts").delete(number);
            if (whose !== "mine")
                return;
            const { fields, task } = conflict;
            const isEdit = Object.keys(fields).length > 0;
            const found = (await shown(stores)).get(task.id);
            if (found)
                await append(stores, isEdit ? "edit" : "delete", task.id, fields, found);
            else if (isEdit)
                await create(stores, changes.picked(task)); // deleted elsewhere: made again, under another id
        }),
        sync,
        follow,
        onChange: (listener) => (listeners.add(listener), () => void listeners.delete(listener)),
        close: closeAll,
        delete: async () => (closeAll(), void (await remove())),
    };
}
const query = (since) => `?since=${encodeURIComponent(since)}`;
