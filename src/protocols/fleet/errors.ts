import { PasswordsBusy } from "../../accounts/accounts.ts";
import { TokenCheckUnavailable } from "../../accounts/tokens.ts";
import { BackplaneUnavailable } from "../../backplane/backplane.ts";
import { DatabaseUnavailable } from "../../database/database.ts";
import { defineErrors } from "../../errors.ts";

/** Close codes of sockets (section 7). The reason is the row's text. */
export const closes = {
  shutdown: { code: 1012, reason: "Service restart" },
  sessionExpired: { code: 4005, reason: "Session expired" },
  slowReader: { code: 4008, reason: "Too slow" },
  noPong: { code: 4012, reason: "No pong" },
  full: { code: 4013, reason: "Too many sockets" },
  refused: { code: 4401, reason: "Not authorized" },
  noAuth: { code: 4408, reason: "Authentication timeout" },
  replaced: { code: 4409, reason: "Replaced by a newer link" },
  limited: { code: 4429, reason: "Rate limit exceeded" },
  origin: { code: 4507, reason: "Origin not allowed" },
  faulty: { code: 4509, reason: "Too many faulty frames" },
} as const;

/** Codes of `error` frames to clients (F-4.4) and their texts; `status` has no meaning on a socket. */
export const frameErrors = {
  "bad-json": "Not a JSON object",
  "bad-query": "Invalid query",
  "unknown-type": "Unknown type",
  "rate-limited": "Too many requests",
  "cmd-failed": "The unit refused the command",
  "cmd-timeout": "The unit did not answer",
  internal: "Try again later",
} as const;

export type FrameErrorCode = keyof typeof frameErrors;

/** Every error of the REST routes (F-3.5 to F-3.11); business errors travel with HTTP 200 on the user's routes. */
export const errors = defineErrors({
  invalid: { text: "Invalid parameter", status: 400, comeBack: false },
  invalid_body: { text: "Invalid body", status: 400, comeBack: false },
  unauthorized: { text: "Unauthorized", status: 401, comeBack: false },
  forbidden: { text: "Forbidden", status: 403, comeBack: false },
  unknown_vehicle: { text: "Unknown vehicle", status: 404, comeBack: false },
  not_found: { text: "Not found", status: 404, comeBack: false },
  exists: { text: "Already exists", status: 409, comeBack: false },
  limited: { text: "wait between requests", status: 429, comeBack: true },
});

/** A business error with what it names: `Invalid parameter: dateEnd`, `Unknown vehicle: 7`, `wait 100ms between requests`. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: keyof (typeof errors)["rows"];
  readonly status: number;

  constructor(code: keyof (typeof errors)["rows"], text?: string) {
    super(text ?? errors.rows[code].text);
    this.code = code;
    this.status = errors.rows[code].status;
  }
}

export const invalid = (name: string) => new Refusal("invalid", `Invalid parameter: ${name}`);
export const unknownVehicle = (id: number) => new Refusal("unknown_vehicle", `Unknown vehicle: ${id}`);

/** True for an error that passes: a store or key service away, too much to do. */
export function isOutage(error: unknown): boolean {
  return (
    error instanceof DatabaseUnavailable ||
    error instanceof BackplaneUnavailable ||
    error instanceof TokenCheckUnavailable ||
    error instanceof PasswordsBusy
  );
}
