import * as v from "valibot";
import { isUuid } from "../../accounts/uuid.ts";
import type { Close } from "./closes.ts";

/** Longest `message_temp_id`, in characters. */
const MAX_TEMP_ID = 128;

/** True when the text has more than `max` characters (code points). */
export function isLonger(text: string, max: number): boolean {
  // A character takes one or two units of a JavaScript string.
  if (text.length <= max) return false;
  return text.length > max * 2 || [...text].length > max;
}

/** A client's own name for a message (section 4). */
export const TempId = v.pipe(
  v.string(),
  v.nonEmpty(),
  v.check((id) => !isLonger(id, MAX_TEMP_ID)),
);

/** Data of `SendMessage`. What the text must be like is no matter of structure (C-4.12). */
export const SendMessage = v.object({
  room_id: v.pipe(v.number(), v.safeInteger()),
  message: v.string(),
  message_temp_id: TempId,
});
export type SendMessage = v.InferOutput<typeof SendMessage>;

/** A frame of a client. Keys beside these are ignored (C-4.1). */
export const Command = v.variant("type", [
  v.object({ type: v.literal("SendMessage"), data: SendMessage }),
  v.object({ type: v.literal("RefreshToken"), data: v.object({ token: v.string() }) }),
]);

/** As much of a bad frame as is needed to answer it (section 8). */
export const Answerable = v.object({ data: v.object({ message_temp_id: TempId }) });

/** A user's id, in lower case whoever wrote it (C-2.8). */
export const UserId = v.pipe(v.string(), v.toLowerCase(), v.check(isUuid));

/** Claims of a token (C-2.6, C-2.7). `sub` keeps the project keys out, which are signed with the same secret. */
export const Claims = v.object({
  sub: UserId,
  exp: v.number(),
  role: v.optional(v.unknown()),
  aud: v.optional(v.unknown()),
});

/** Times as the wire has them: `YYYY-MM-DDTHH:MM:SS.mmmZ`. */
export const time = (moment: number): string => new Date(moment).toISOString();

/** What the sender of a message is told of it. */
export interface Confirmation {
  readonly tempId: string;
  /** Empty when the message was stored. */
  readonly reason: string;
  readonly stored?: { readonly id: number; readonly createdAt: number } | undefined;
}

/** A message that is stored, with who is to get it. `createdAt` is in epoch milliseconds. */
export interface StoredMessage {
  readonly id: number;
  readonly roomId: number;
  readonly senderId: string;
  readonly message: string;
  readonly tempId: string;
  readonly createdAt: number;
  /** Who was in the room when it was stored, the sender included. */
  readonly participants: readonly string[];
}

const frame = (type: string, data: object): string => JSON.stringify({ type, data });

/** `MessageSentConfirmation`; `detailed` for clients that asked for more (C-10.1). */
export function confirmationFrame({ tempId, reason, stored }: Confirmation, detailed: boolean): string {
  const more = detailed && stored ? { id: stored.id, created_at: time(stored.createdAt) } : {};
  return frame("MessageSentConfirmation", { confirmed: stored !== undefined, reason, message_id: tempId, ...more });
}

/** `MessageReceived` for existing clients. */
export function messageFrame({ roomId, senderId, message }: StoredMessage): string {
  return frame("MessageReceived", { room_id: roomId, sender_id: senderId, message });
}

/** `MessageReceived` for clients that asked for more; those of the sender also learn his temp id (C-10.1). */
export function detailedMessageFrame(stored: StoredMessage, toSender: boolean): string {
  return frame("MessageReceived", {
    room_id: stored.roomId,
    sender_id: stored.senderId,
    message: stored.message,
    id: stored.id,
    created_at: time(stored.createdAt),
    ...(toSender ? { message_temp_id: stored.tempId } : {}),
  });
}

/** `Disconnection`, the last frame before a close (C-7.1). */
export function disconnectionFrame({ code, reason, comeBack }: Close, detailed: boolean): string {
  return frame("Disconnection", { code, reason, ...(detailed ? { retry: comeBack } : {}) });
}

/** `TokenRefreshed`; `expires` is in epoch milliseconds. */
export function refreshedFrame(expires: number): string {
  return frame("TokenRefreshed", { expires_at: time(expires) });
}
