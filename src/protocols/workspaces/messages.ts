import * as v from "valibot";

/** Wire schemas and types (sections 2, 3 and 5). */

/** Names of `Object.prototype` that must not become keys of ours (W-12.10). */
const FORBIDDEN_KEYS = new Set(["__proto__", "constructor", "prototype"]);
const MAX_DEPTH = 32;

/** True for text without NUL and lone surrogates (W-12.15): Postgres and JSON readers take no others. */
export function isCleanText(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

/** True for a JSON value that may be handed on: no deep nesting, no keys of prototypes, clean text (W-12.10, W-12.15). */
export function isSane(value: unknown, depth = 0): boolean {
  if (typeof value === "string") return isCleanText(value);
  if (typeof value !== "object" || value === null) return true;
  if (depth >= MAX_DEPTH) return false;
  if (Array.isArray(value)) return value.every((item) => isSane(item, depth + 1));
  return Object.entries(value).every(
    ([key, item]) => !FORBIDDEN_KEYS.has(key) && isCleanText(key) && isSane(item, depth + 1),
  );
}

/** Text of a length in characters. */
const textOf = (min: number, max: number) =>
  v.pipe(
    v.string(),
    v.check((text) => text.length >= min && text.length <= max && isCleanText(text), "length"),
  );

export const Uuid = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
);

export const statuses = ["online", "idle", "offline"] as const;
export type OnlineStatus = (typeof statuses)[number];
export type ChosenBy = "manual" | "auth";
export const workspaceRoles = ["admin", "moderator", "user", "guest"] as const;
export type WorkspaceRole = (typeof workspaceRoles)[number];
export type ChannelRole = "admin" | "moderator" | "user";

/** Client event `auth` (W-2.20). */
export const Auth = v.strictObject({
  token: textOf(1, 256),
  workspaceId: Uuid,
  transaction: v.optional(textOf(1, 128)),
  onlineStatus: v.optional(v.picklist(statuses)),
  localTimeZone: v.optional(textOf(1, 64)),
  prevSocketId: v.optional(v.nullable(textOf(1, 64))),
});
export type Auth = v.InferOutput<typeof Auth>;

/** A `transaction` that may become part of an event name (W-5.2, W-5.3). */
export const Transaction = textOf(1, 128);

/** Object form of `conversation-broadcast` (W-5.6). */
export const Broadcast = v.looseObject({ action: textOf(1, 64), transaction: v.optional(Transaction) });

/** UserMediaState on input (W-3.18): start times are the server's own. */
export const MediaState = v.pipe(
  v.strictObject({
    microphone: v.boolean(),
    speakers: v.boolean(),
    screen: v.boolean(),
    camera: v.boolean(),
    speaking: v.boolean(),
    startScreenTs: v.optional(v.unknown()),
    startCameraTs: v.optional(v.unknown()),
    startSpeakingTs: v.optional(v.unknown()),
  }),
  v.transform(
    ({ microphone, speakers, screen, camera, speaking }): MediaFlags => ({
      microphone,
      speakers,
      screen,
      camera,
      speaking,
    }),
  ),
);

/** The five booleans of a media state. */
export interface MediaFlags {
  readonly microphone: boolean;
  readonly speakers: boolean;
  readonly screen: boolean;
  readonly camera: boolean;
  readonly speaking: boolean;
}

/** A media state as it is kept and shown. */
export interface StoredMediaState extends MediaFlags {
  readonly startScreenTs?: string;
  readonly startCameraTs?: string;
  readonly startSpeakingTs?: string;
}

const Email = v.pipe(textOf(3, 254), v.email());
const Password = textOf(4, 200);
const Lang = v.picklist(["en", "ru"]);
const PersonName = textOf(1, 100);
const WorkspaceName = textOf(3, 100);
const ChannelName = textOf(2, 100);
const Description = textOf(1, 150);
const Code = textOf(1, 100);
const People = (max: number) => v.pipe(v.array(Uuid), v.maxLength(max));
/** An object of JSON. A record alone would take an array and make an object of it. */
export const JsonObject = v.pipe(
  v.unknown(),
  v.check((value) => !Array.isArray(value), "not an array"),
  v.record(v.string(), v.unknown()),
);
/** A JSON object whose text is at most so many bytes. */
const objectOf = (maxBytes: number) =>
  v.pipe(
    JsonObject,
    v.check((value) => Buffer.byteLength(JSON.stringify(value)) <= maxBytes, "size"),
  );
const MAX_LIFESPAN = 31 * 86_400_000;

/** Bodies of the routes (section 4). */
export const bodies = {
  empty: v.strictObject({}),
  signup: v.strictObject({
    user: v.strictObject({
      name: PersonName,
      email: Email,
      password: Password,
      lang: v.optional(Lang),
      inviteCode: v.optional(Code),
    }),
  }),
  signin: v.strictObject({ credentials: v.strictObject({ email: textOf(1, 254), password: textOf(1, 200) }) }),
  refresh: v.strictObject({ accessToken: textOf(1, 256), refreshToken: textOf(1, 256) }),
  password: v.strictObject({ oldPassword: v.optional(textOf(1, 200)), password: Password }),
  resetInit: v.strictObject({ email: Email }),
  reset: v.strictObject({ token: Code, password: Password }),
  profile: v.strictObject({
    name: v.optional(PersonName),
    avatar: v.optional(v.unknown()),
    avatarFileId: v.optional(v.nullable(Uuid)),
    email: v.optional(Email),
    lang: v.optional(Lang),
  }),
  appSettings: objectOf(16_384),
  newWorkspace: v.strictObject({ name: WorkspaceName, avatarFileId: v.optional(Uuid) }),
  workspace: v.pipe(
    v.strictObject({ name: v.optional(WorkspaceName), avatarFileId: v.optional(v.nullable(Uuid)) }),
    v.check((body) => Object.keys(body).length > 0, "empty"),
  ),
  workspaceSettings: v.strictObject({ canUsersInvite: v.boolean() }),
  workspaceName: v.strictObject({ name: v.string() }),
  emailInvites: v.strictObject({ emailList: v.pipe(v.array(Email), v.minLength(1), v.maxLength(50)) }),
  role: v.strictObject({ userId: Uuid, role: v.picklist(["admin", "user"]) }),
  revokeAccess: v.strictObject({ workspaceId: Uuid, userId: Uuid }),
  newChannel: v.strictObject({
    name: ChannelName,
    description: v.optional(Description),
    isPrivate: v.optional(v.boolean(), false),
    isTemporary: v.optional(v.boolean(), false),
    lifespan: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_LIFESPAN)), 0),
  }),
  channel: v.strictObject({ name: ChannelName, description: v.optional(Description) }),
  talk: v.strictObject({ users: People(32) }),
  people: v.strictObject({ users: v.pipe(People(100), v.minLength(1)) }),
  guest: v.strictObject({ name: PersonName }),
  mediaState: MediaState,
  onlineStatus: v.pipe(
    v.strictObject({
      onlineStatus: v.picklist(statuses),
      cause: v.optional(v.picklist(["manually", "sleep"]), "manually"),
    }),
    v.check(({ onlineStatus, cause }) => cause === "manually" || onlineStatus !== "offline", "onlineStatus"),
  ),
  mute: v.strictObject({ userId: Uuid }),
  invite: v.strictObject({
    userId: Uuid,
    channelId: Uuid,
    workspaceId: Uuid,
    message: objectOf(4096),
    isResponseNeeded: v.optional(v.boolean(), false),
  }),
  invites: v.strictObject({
    users: v.pipe(People(100), v.minLength(1)),
    channelId: Uuid,
    workspaceId: Uuid,
    message: objectOf(4096),
    isResponseNeeded: v.optional(v.boolean(), false),
  }),
  inviteResponse: v.strictObject({ inviteId: Uuid, response: v.optional(objectOf(4096)) }),
  slackInvite: v.strictObject({ userId: Uuid, channelId: Uuid, workspaceId: Uuid }),
};
