import * as v from "valibot";
import { ID, type Side } from "./room-name.ts";

/** Any JSON object. */
export type JsonObject = { readonly [key: string]: unknown };

/** True for what is an object in JSON: no array, and no attachment in its place. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** Text as it was sent, but nothing Postgres or UTF-8 cannot hold: no NUL, no lone surrogate (V-8.11, V-8.12). */
const Text = v.pipe(
  v.string(),
  v.check((text) => !text.includes("\0") && text.isWellFormed()),
);
const textUpTo = (length: number) => v.pipe(Text, v.maxLength(length));

/** An id of a person; a whole number counts as its decimal text (V-4.2). */
export const Id = v.pipe(v.union([v.string(), v.pipe(v.number(), v.safeInteger())]), v.transform(String), v.regex(ID));
/** The length is no rule: what is no room id is the id of no room. */
const RoomId = v.pipe(Text, v.nonEmpty());
export const MessageId = v.pipe(Text, v.nonEmpty(), v.maxLength(64));

export const Role = v.picklist(["BUYER", "SELLER"]);

/** The first and the last moment that have a text of the usual form, which is what Postgres reads: the years 1 to 9999. */
const FIRST_MOMENT = Date.parse("0001-01-01T00:00:00.000Z");
const LAST_MOMENT = Date.parse("9999-12-31T23:59:59.999Z");

/** A moment in epoch milliseconds. */
export const Epoch = v.pipe(v.number(), v.integer(), v.minValue(FIRST_MOMENT), v.maxValue(LAST_MOMENT));

/**
 * A moment as ISO text (without a zone it is UTC) or as epoch milliseconds, as text or number; gives epoch milliseconds
 * (V-3.37).
 */
export const Moment = v.pipe(v.union([v.string(), v.number()]), v.transform(epoch), Epoch);

const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$/i;

function epoch(value: string | number): number {
  if (typeof value === "number" || /^-?\d{1,16}$/.test(value)) return Number(value);
  const [whole, day, zone] = ISO.exec(value) ?? [];
  if (whole === undefined || day === undefined || !isDay(day)) return Number.NaN;
  return Date.parse(zone === undefined && whole.length > 10 ? `${whole}Z` : whole);
}

/** False for days like the 30th of February, which `Date.parse` takes for one in March. */
function isDay(day: string): boolean {
  const moment = Date.parse(day);
  return !Number.isNaN(moment) && new Date(moment).toISOString().startsWith(day);
}

/** What is known of a buyer (V-4.9). Valibot alone would take a list or an attachment for an object. */
const Profile = v.pipe(
  v.custom<JsonObject>(isJsonObject),
  v.object({
    name: v.nullish(textUpTo(512)),
    avatar: v.nullish(textUpTo(512)),
    phone_number: v.nullish(textUpTo(512)),
    email: v.nullish(textUpTo(512)),
  }),
);
export type Profile = v.InferOutput<typeof Profile>;

/** A profile as a room keeps it (V-3.41). */
export interface BuyerInfo {
  readonly name: string;
  readonly avatar: string | null;
  readonly phone_number: string | null;
  readonly email: string | null;
}

const ShopId = v.pipe(v.union([Text, v.pipe(v.number(), v.safeInteger())]), v.transform(String), v.maxLength(64));

/** `create_room` and POST /rooms (V-4.9, V-3.22). The browser test page names no shop (V-11.8). */
export const CreateRoom = v.object({
  type: v.literal("BS"),
  buyer: Id,
  seller: Id,
  shop_id: v.optional(ShopId, ""),
  creator: Id,
  buyer_info: v.optional(Profile),
});
export type CreateRoom = v.InferOutput<typeof CreateRoom>;

/** How an absolute address begins; URL also reads `http:x`, which browsers take as relative to their page. */
const WEB_ADDRESS = /^https?:\/\//i;

/** Whether a text has at most so many characters, whatever they are made of. */
const fits = (text: string, length: number) => text.length <= length || [...text].length <= length;

/** True for content a message of this type may have (V-4.15); `maxChars` limits texts. */
function isContent(type: string, content: string, maxChars: number): boolean {
  if (content.trim() === "") return false;
  if (type === "TEXT") return fits(content, maxChars);
  if (type === "EMOJI") return fits(content, 200);
  return content.length <= 2048 && WEB_ADDRESS.test(content) && URL.canParse(content);
}

/** `new_message` (V-4.10), for texts of at most `maxChars` characters. */
export const newMessage = (maxChars: number) =>
  v.pipe(
    v.object({
      room_id: RoomId,
      from: Id,
      to: Id,
      type: v.picklist(["TEXT", "IMAGE", "EMOJI"]),
      content: Text,
      client_message_id: v.nullish(textUpTo(128), null),
    }),
    v.forward(
      v.check(({ type, content }) => isContent(type, content, maxChars)),
      ["content"],
    ),
  );
export type NewMessage = v.InferOutput<ReturnType<typeof newMessage>>;

/** `typing` (V-4.11). */
export const Typing = v.object({ room_id: RoomId, from: Id, to: Id });
/** `stop_typing`, which existing clients send without a room. */
export const StopTyping = v.object({ room_id: v.optional(RoomId), from: Id, to: Id });

/** `seen_messages` (V-4.12). */
export const SeenMessages = v.pipe(
  v.object({
    room_id: RoomId,
    from: Id,
    to: Id,
    last_message_id: v.nullish(MessageId),
    last_message_created_at: v.nullish(Moment),
  }),
  v.forward(
    v.check((seen) => seen.last_message_id != null || seen.last_message_created_at != null),
    ["last_message_id"],
  ),
);

/** `verify_user` (V-4.20). */
export const VerifyUser = v.object({ token: v.optional(v.string(), ""), user_id: Id, user_role: Role });

/** Credentials of the chat namespace, from the CONNECT packet or the query (V-2.5). */
export const Credential = v.pipe(v.string(), v.nonEmpty());

/** A stored message (V-3.44). */
export interface Message {
  readonly _id: string;
  readonly room_id: string;
  readonly from: string;
  readonly to: string;
  readonly type: string;
  readonly content: string;
  readonly is_seen: boolean;
  readonly created_at: string;
  readonly updated_at: string;
  readonly __v: 0;
}

/** `new_message` to clients (V-5.4). */
export interface MessageNotice {
  readonly _id: string;
  readonly room_id: string;
  readonly from: string;
  readonly to: string;
  readonly type: string;
  readonly content: string;
  readonly client_message_id: string | null;
  readonly created_at: string;
}

/** `active_user_list` (V-5.8). */
export interface ActiveUsers {
  readonly user_id: string;
  readonly user_role: Side;
  readonly rooms: readonly { readonly room_id: string; readonly status: boolean }[];
}

/** `user_status_change` (V-5.9). */
export interface StatusChange {
  readonly user_id: string;
  readonly user_role: Side;
  readonly room_id: string;
  readonly status: boolean;
}

/** `seen_messages` to clients (V-5.6). */
export interface SeenNotice {
  readonly room_id: string;
  readonly from: string;
  readonly to: string;
  readonly last_message_id: string | null;
  readonly last_message_created_at: string;
}
