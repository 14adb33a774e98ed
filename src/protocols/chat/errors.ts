import { TokenCheckUnavailable } from "../../accounts/tokens.ts";
import { BackplaneUnavailable } from "../../backplane/backplane.ts";
import { DatabaseUnavailable } from "../../database/database.ts";
import { defineErrors, type ErrorRow, type Fault } from "../../errors.ts";
import { BodyTooLarge } from "../../http/body.ts";
import { closes } from "./closes.ts";

const refused = (status: number, text: string): ErrorRow => ({ text, status, comeBack: false });
const invalid = (field: string): ErrorRow => refused(400, `${field} is not valid`);

/**
 * Every error of the REST routes (C-3.10 and section 2). Those with a close code also end a socket that is opening.
 * `token is expired` stands in one row only: the app answers it by refreshing its token and trying again (C-2.12).
 */
export const errors = defineErrors({
  missing_token: { ...refused(401, "missing token"), close: closes.noToken.code },
  invalid_token: { ...refused(401, "invalid token"), close: closes.badToken.code },
  token_expired: { ...refused(401, "token is expired"), close: closes.badToken.code, comeBack: true },
  user_banned: { ...refused(409, "user is banned"), close: closes.banned.code },
  invalid_json: refused(400, "request body is not valid JSON"),
  invalid_users: invalid("users"),
  invalid_apartment_id: invalid("apartment_id"),
  invalid_room_id: invalid("room_id"),
  invalid_users_to_add: invalid("users_to_add"),
  invalid_users_to_remove: invalid("users_to_remove"),
  invalid_limit: invalid("limit"),
  invalid_before: invalid("before"),
  invalid_after: invalid("after"),
  invalid_id: invalid("id"),
  invalid_reason: invalid("reason"),
  invalid_seconds: invalid("seconds"),
  room_not_found: refused(404, "room not found"),
  not_owner: refused(409, "only the owner can change this room"),
  too_many_participants: refused(409, "too many participants"),
  body_too_large: refused(413, "request body too large"),
  rate_limited: { ...refused(429, "rate limit exceeded"), comeBack: true },
  invalid_admin_token: refused(401, "invalid admin token"),
  not_found: refused(404, "not found"),
  wrong_method: refused(405, "method not allowed"),
  upgrade_required: refused(426, "websocket upgrade required"),
  server_error: { ...refused(500, "server error"), close: closes.serverError.code },
  unavailable: { ...refused(503, "service unavailable"), close: closes.serverError.code, comeBack: true },
});

export type ErrorCode = keyof (typeof errors)["rows"];

/** A part of a request that may be wrong. */
export type Field = ErrorCode extends infer Code ? (Code extends `invalid_${infer Name}` ? Name : never) : never;

/** True for an error that passes: a store or the key service is away. */
export function isOutage(error: unknown): boolean {
  return (
    error instanceof DatabaseUnavailable ||
    error instanceof BackplaneUnavailable ||
    error instanceof TokenCheckUnavailable
  );
}

/** What a caller is told of an error; one that is unknown is `server_error`. */
export function publicFault(error: unknown): Fault<ErrorCode> {
  if (errors.owns(error)) return error;
  if (error instanceof BodyTooLarge) return errors.fault("body_too_large", { cause: error });
  if (isOutage(error)) return errors.fault("unavailable", { cause: error });
  return errors.fault("server_error", { cause: error });
}
