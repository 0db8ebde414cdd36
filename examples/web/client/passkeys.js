import { fromBase64url, toBase64url } from "./base64url.js";
const RENEW_MS = 4 * 60_000; // a challenge is good for five minutes
let running; // a page has one ceremony at a time
/**
 * The passkeys of this client's account. What a person cancels, and what the browser refuses, is its `DOMException`
 * (`NotAllowedError`); what the service refuses is an `ApiError`.
 */
export function passkeysOf({ request, session }) {
    const path = "/api/auth/passkeys";
    const optionsOf = (route, signal, body) => request("POST", `/api/auth/${route}`, { again: true, ...(signal && { signal }), ...(body && { body }) });
    const ask = async (signal, route, body) => encoded(await navigator.credentials.get({ publicKey: requestOf(await optionsOf(route, signal, body)), signal }));
    const finish = (credential, device) => session.begin(`${path}/signin`, { credential, ...(device && { device }) });
    return {
        isSupported: !!globalThis.PublicKeyCredential,
        async isOffered() {
            try {
                return this.isSupported && !!(await optionsOf("passkeys/signin/options"));
            }
            catch (error) {
                if (error.status === 501)
                    return false;
                throw error;
            }
        },
        signIn: async ({ signal, device } = {}) => finish(await alone(signal, (stop) => ask(stop, "passkeys/signin/options")), device),
        async signInByAutofill({ signal, device } = {}) {
            if (!(await globalThis.PublicKeyCredential?.isConditionalMediationAvailable?.()))
                return null;
            for (;;) {
                let isOld = false;
                let stopped;
                try {
                    const credential = await alone(signal, async (stop, abort) => {
                        stopped = stop;
                        const publicKey = requestOf(await optionsOf("passkeys/signin/options", stop));
                        const timer = setTimeout(() => ((isOld = true), abort()), RENEW_MS);
                        try {
                            return await navigator.credentials.get({ publicKey, signal: stop, mediation: "conditional" });
                        }
                        finally {
                            clearTimeout(timer);
                        }
                    });
                    return await finish(encoded(credential), device);
                }
                catch (error) {
                    if (!stopped?.aborted)
                        throw error;
                    if (!isOld)
                        return null;
                }
            }
        },
        list: () => request("GET", path),
        add: (name, proof, { signal } = {}) => alone(signal, async (stop) => {
            const publicKey = creationOf(await optionsOf("passkeys/options", stop));
            const credential = encoded(await navigator.credentials.create({ publicKey, signal: stop }));
            return request("POST", path, { body: { credential, name, proof } });
        }),
        remove: (id, proof) => request("POST", `${path}/${encodeURIComponent(id)}/delete`, { body: { proof } }),
        prove: (act, { signal } = {}) => alone(signal, async (stop) => ({ passkey: await ask(stop, "proof/options", { for: act }) })),
    };
}
/** Does the work once what was running before is stopped: browsers refuse a second one while autofill waits. */
async function alone(signal, work) {
    running?.abort();
    const own = (running = new AbortController());
    const abort = () => own.abort();
    signal?.addEventListener("abort", abort);
    if (signal?.aborted)
        abort();
    try {
        return await work(own.signal, abort);
    }
    finally {
        signal?.removeEventListener("abort", abort);
        if (running === own)
            running = undefined;
    }
}
const BYTES = ["challenge", "id"];
/** The options as the browser takes them; by itself where it can. */
const requestOf = (options) => globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON?.(options) ?? decoded(options);
const creationOf = (options) => globalThis.PublicKeyCredential?.parseCreationOptionsFromJSON?.(options) ?? decoded(options);
/** Each `challenge` and `id`, however deep, as bytes: `rp.id` alone is a name. */
function decoded(json) {
    if (Array.isArray(json))
        return json.map(decoded);
    if (!json || typeof json !== "object")
        return json;
    return Object.fromEntries(Object.entries(json).map(([name, value]) => [
        name,
        BYTES.includes(name) ? fromBase64url(value) : name === "rp" ? value : decoded(value),
    ]));
}
const MEMBERS = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
/** The credential as JSON; by itself where the browser can. */
function encoded(credential) {
    try {
        return credential.toJSON();
    }
    catch {
        // An older browser has none, and that of a password manager's own credential may fail.
    }
    const { id, type, authenticatorAttachment, response } = credential;
    const members = MEMBERS.flatMap((name) => (response[name] ? [[name, toBase64url(new Uint8Array(response[name]))]] : []));
    return {
        id,
        rawId: id,
        type,
        authenticatorAttachment,
        clientExtensionResults: credential.getClientExtensionResults(),
        response: { ...Object.fromEntries(members), transports: response.getTransports?.() ?? [] },
    };
}
