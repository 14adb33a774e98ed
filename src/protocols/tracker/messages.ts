import * as v from "valibot";
import type { ErrorDetails } from "./errors.ts";

/**
 * A room id as text (T-4.1): numbers by their decimal form, strings trimmed. Names that every object inherits
 * (`__proto__`, `constructor`) are no ids at all (T-8.13).
 */
const Id = v.pipe(
  v.union([v.string(), v.number()]),
  v.transform((id) => String(id).trim()),
  v.check((id) => !(id in Object.prototype)),
);

/** Argument of `join_room` and `leave_room`: an id, or an object that holds one. */
export const RoomId = v.union([
  Id,
  v.pipe(
    v.object({ roomId: Id }),
    v.transform(({ roomId }) => roomId),
  ),
]);

/** Argument of `move` (T-4.12, T-4.13). The ranges also turn away what is not finite. */
export const Move = v.object({
  lat: v.pipe(v.number(), v.minValue(-90), v.maxValue(90)),
  long: v.pipe(v.number(), v.minValue(-180), v.maxValue(180)),
  roomId: v.pipe(Id, v.nonEmpty()),
});
export type Move = v.InferOutput<typeof Move>;

/** Argument of `renew_token`. */
export const Token = v.string();

/** The token a revision 4 client may put in its CONNECT payload (T-2.3). */
export const AuthToken = v.object({ token: v.string() });

/** What a client that knows more than the original says in its CONNECT payload (T-2.24, T-10.2). */
export const AuthVersion = v.object({ v: v.literal(2) });

/** Required claims of an access token (T-2.12). */
export const AccessClaims = v.object({
  user_id: v.union([
    v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
    v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  ]),
  username: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  exp: v.number(),
});

/** Claims of a refresh token: which login, and the how-manieth token of it. */
export const RefreshClaims = v.object({
  sid: v.string(),
  gen: v.pipe(v.number(), v.safeInteger()),
  exp: v.number(),
});

/** Body of registration and login (T-3.14). Names are stored and looked up in lower case. */
export const Credentials = v.object({
  username: v.pipe(v.string(), v.minLength(4), v.maxLength(20), v.regex(/^[A-Za-z][A-Za-z0-9_]*$/), v.toLowerCase()),
  password: v.pipe(v.string(), v.minLength(4), v.maxLength(20), v.regex(/^[A-Za-z0-9!@#$%^&*]*$/)),
});

/** Body of a refresh (T-3.5). */
export const RefreshRequest = v.object({ refresh_token: v.string() });

/** Payload of `room`. */
export interface RoomNotice {
  readonly details: { readonly type: "joined_room" | "lefted_room" | "disconnected"; readonly msg: string };
}

/** Payload of `move`; `meta` only for clients that asked for it (T-10.2). */
export interface MoveNotice {
  readonly details: {
    readonly type: "success";
    readonly msg: { readonly lat: number; readonly long: number };
    readonly meta?: { readonly room_id: string; readonly username: string; readonly at: string };
  };
}

/** Payload of `error`. */
export interface ErrorNotice {
  readonly details: ErrorDetails;
}

/** Answer to a login or a refresh (T-3.4, T-3.5). */
export interface Grant {
  readonly user_id: number;
  readonly username: string;
  readonly access_token: string;
  readonly token_type: "bearer";
  readonly access_token_expire: string;
  readonly refresh_token: string;
  readonly refresh_token_expire: string;
}
