/** The service answered with an error. `message` is its sentence; errors of the network are those of `fetch`. */
export class ApiError extends Error {
    /** Whether an attempt before this one had no answer: the service may have done then what it refuses now. */
    wasLost = false;
    constructor(message, fields) {
        super(message);
        Object.assign(this, { name: "ApiError" }, fields);
    }
}
/** Another account is signed in than the one that this was meant for. */
export class OtherAccount extends Error {
    name = "OtherAccount";
}
/** Whether the service, and not a network before it, says that a token is not good. */
export const isUnauthorized = (error) => error instanceof ApiError && error.status === 401 && !!error.code;
