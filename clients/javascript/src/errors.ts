import type { FieldError } from "./api.js";

/** The service answered with an error. `message` is its sentence; errors of the network are those of `fetch`. */
export class ApiError extends Error {
  declare readonly status: number;
  /** The constant of the error, or null where something else than the service has answered. */
  declare readonly code: string | null;
  /** Of a 422: what is wrong with which field. */
  declare readonly errors: FieldError[];
  declare readonly requestId: string | null;
  /** Seconds to wait, if the answer says so. */
  declare readonly retryAfter: number | null;
  /** Whether an attempt before this one had no answer: the service may have done then what it refuses now. */
  wasLost = false;

  constructor(message: string, fields: Pick<ApiError, "status" | "code" | "errors" | "requestId" | "retryAfter">) {
    super(message);
    Object.assign(this, { name: "ApiError" }, fields);
  }
}

/** Another account is signed in than the one that this was meant for. */
export class OtherAccount extends Error {
  override readonly name = "OtherAccount";
}

/** Whether the service, and not a network before it, says that a token is not good. */
export const isUnauthorized = (error: unknown): error is ApiError & { code: string } =>
  error instanceof ApiError && error.status === 401 && !!error.code;
