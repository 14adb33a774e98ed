import * as v from "valibot";
import { isSoundText } from "./sound.ts";

/** A number, or its decimal text (F-4.1). */
const decimal = v.pipe(v.string(), v.regex(/^\d{1,16}$/), v.transform(Number));
const whole = v.union([v.number(), decimal]);

/** UID of the contract: 1..2^53-1. */
export const Uid = v.pipe(whole, v.safeInteger(), v.minValue(1));
export const UserId = v.pipe(whole, v.safeInteger(), v.minValue(0));
/** F-2.4. */
export const Sessid = v.pipe(v.string(), v.regex(/^[A-Za-z0-9]{26}$/));

/** A request of a client (F-4.1). */
export const Request = v.object({ type: v.string(), query: v.optional(v.unknown()) });

/** F-4.5; `snapshot` is additive (F-5.15). */
export const Auth = v.object({ user_id: UserId, SESSID: Sessid, snapshot: v.optional(v.boolean(), false) });

export const RequestId = v.pipe(v.string(), v.minLength(1), v.maxLength(64), v.check(isSoundText));

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is kept out
const printable = /^[^\u0000-\u001f\u007f-\u009f]+$/;

/** F-4.6. What of it is wrong is answered by `cmd-status` (F-8.4), so a usable id is all that is asked for here. */
export const ApiId = v.object({ id: RequestId });
export const Api = v.object({
  uid: Uid,
  cmd: v.pipe(v.string(), v.minLength(1), v.maxLength(255), v.regex(printable), v.check(isSoundText)),
  CR: v.optional(v.boolean(), false),
});

/** F-4.7. */
export const PndApi = v.object({
  uid: Uid,
  content: v.object({
    type: v.literal("msg"),
    txt: v.pipe(v.string(), v.minLength(1), v.maxLength(2000)),
    user_id: UserId,
    user_name: v.pipe(v.string(), v.maxLength(128)),
    guid: v.optional(RequestId),
  }),
});
