import { PasswordsBusy } from "../../accounts/accounts.ts";
import { TokenCheckUnavailable } from "../../accounts/tokens.ts";
import { BackplaneUnavailable } from "../../backplane/backplane.ts";
import { DatabaseUnavailable } from "../../database/database.ts";
import { defineErrors, type Fault } from "../../errors.ts";

/** Every error a tracker client may see (sections 2, 3, 5). `status` counts on REST only; sockets get the type and text. */
export const errors = defineErrors({
  invalid_credentials: { text: "Invalid credentials", status: 401, comeBack: false },
  user_not_found: { text: "User not found", status: 404, comeBack: false },
  too_many_connections: { text: "Too many connections", status: 429, comeBack: false },
  origin_not_allowed: { text: "Origin not allowed", status: 403, comeBack: false },
  user_already_exists: { text: "User already exists", status: 400, comeBack: false },
  invalid_refresh_token: { text: "Invalid refresh token", status: 404, comeBack: false },
  no_room: { text: "Room not found or has expired", status: 404, comeBack: false },
  too_many_rooms: { text: "Too many rooms", status: 429, comeBack: false },
  invalid_data: { text: "Invalid data", status: 400, comeBack: false },
  rate_limit_exceeded: { text: "Rate limit exceeded", status: 429, comeBack: true },
  service_unavailable: { text: "Service unavailable", status: 503, comeBack: true },
});

export type ErrorCode = keyof (typeof errors)["rows"];

/** An error as it stands under `details`. */
export interface ErrorDetails {
  readonly type: string;
  readonly msg: string;
  /** Seconds; only for clients that asked for more (T-10.2). */
  readonly retry_after?: number;
}

/** The public face of a fault: its code and fixed text, nothing of its cause. */
export function details(fault: Fault): ErrorDetails {
  return { type: fault.code, msg: fault.row.text };
}

/** True for an error that passes (a store or key service away, too much to do): `service_unavailable` to a client. */
export function isOutage(error: unknown): boolean {
  return (
    error instanceof BackplaneUnavailable ||
    error instanceof DatabaseUnavailable ||
    error instanceof TokenCheckUnavailable ||
    error instanceof PasswordsBusy
  );
}

/** What a client is told of an error; null for a fault of ours, which it is not told. */
export function publicFault(error: unknown): Fault<ErrorCode> | null {
  if (errors.owns(error)) return error;
  return isOutage(error) ? errors.fault("service_unavailable", { cause: error }) : null;
}
