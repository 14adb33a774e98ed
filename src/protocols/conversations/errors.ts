import { TokenCheckUnavailable } from "../../accounts/tokens.ts";
import { BackplaneUnavailable } from "../../backplane/backplane.ts";
import { DatabaseUnavailable } from "../../database/database.ts";
import { defineErrors, Fault } from "../../errors.ts";
import { BodyTooLarge } from "../../http/body.ts";

/** Every error a client may see (V-3.7, V-4.4). `status` counts on REST only; sockets get code and text. */
export const errors = defineErrors({
  ROLE_REQUIRED: { text: "role is required", status: 400, comeBack: false },
  ROOM_NOT_FOUND: { text: "Room not found", status: 400, comeBack: false },
  SELF_CHAT: { text: "A room needs two different users", status: 400, comeBack: false },
  UNAUTHORIZED: { text: "Authentication Error", status: 401, comeBack: false },
  FORBIDDEN: { text: "Forbidden", status: 403, comeBack: false },
  BLOCKED: { text: "Room is blocked", status: 403, comeBack: false },
  NOT_FOUND: { text: "Not found", status: 404, comeBack: false },
  METHOD_NOT_ALLOWED: { text: "Method not allowed", status: 405, comeBack: false },
  TOO_LARGE: { text: "Payload too large", status: 413, comeBack: false },
  UNSUPPORTED_TYPE: { text: "Unsupported file type", status: 415, comeBack: false },
  RATE_LIMITED: { text: "Too many requests", status: 429, comeBack: true },
  UNKNOWN_EVENT: { text: "Unknown event", status: 400, comeBack: false },
  TOO_MANY_SOCKETS: { text: "Too Many Connections", status: 429, comeBack: false },
  INVALID_AUCTION: { text: "Invalid auction_id", status: 400, comeBack: false },
  INTERNAL: { text: "Internal error", status: 500, comeBack: true },
  UNAVAILABLE: { text: "Try again later", status: 503, comeBack: true },
});

export type ErrorCode = keyof (typeof errors)["rows"] | "BAD_REQUEST";

/** Fields that `Invalid <field>` may name (V-3.8): all of them come from our own schemas, none from a client. */
export function badRequest(field: string): Fault<"BAD_REQUEST"> {
  return new Fault("BAD_REQUEST", { text: `Invalid ${field}`, status: 400, comeBack: false });
}

/** An identity that is not proven. Clients are never told why: that is for the log alone (V-2.8). */
export function unauthorized(why: string): Fault {
  return errors.fault("UNAUTHORIZED", { cause: new Error(why) });
}

/** A limit was reached; `wait` is the time in ms until a retry can succeed. */
export class RateFault extends Fault<"RATE_LIMITED"> {
  readonly wait: number;

  constructor(wait: number) {
    super("RATE_LIMITED", errors.rows.RATE_LIMITED, { retryAfter: Math.max(1, Math.ceil(wait / 1000)) });
    this.wait = Math.max(1, Math.ceil(wait));
  }
}

/** True for an error that passes: a store or key service away, too much to do. */
export function isOutage(error: unknown): boolean {
  return (
    error instanceof BackplaneUnavailable ||
    error instanceof DatabaseUnavailable ||
    error instanceof TokenCheckUnavailable
  );
}

/** What a client is told of an error, whatever it is. */
export function publicFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  if (error instanceof BodyTooLarge) return errors.fault("TOO_LARGE");
  return errors.fault(isOutage(error) ? "UNAVAILABLE" : "INTERNAL", { cause: error });
}

/** An error as clients get it, by REST or in an acknowledgement. */
export interface Failure {
  readonly status: false;
  readonly code: string;
  readonly message: string;
  readonly retry_after_ms?: number;
}

/** The public face of a fault: its code and fixed text, nothing of its cause. */
export function failure(fault: Fault): Failure {
  return { status: false, code: fault.code, message: fault.row.text };
}
