import { accessSync, constants } from "node:fs";
import { previousSecretFaults } from "../../accounts/previous-secret.ts";
import type { SettingFault } from "../../config/fault.ts";
import {
  choice,
  flag,
  instant,
  integer,
  milliseconds,
  origins,
  seconds,
  secret,
  section,
  signingSecret,
  text,
  url,
  type Values,
} from "../../config/setting.ts";

/** Section 9 of the contract. */
export const chatSection = section("CHAT", {
  enabled: flag(true, "Serve the chat."),
  root: choice(
    ["auto", "token", "off"],
    "auto",
    "Sockets on /: token takes those with a token parameter, auto also those that nobody else takes, off none.",
  ),
  listShape: choice(
    ["path", "envelope", "array"],
    "path",
    "Form of the room list: path has the envelope on /rooms and the bare array on /chat/rooms.",
  ),
  jwtSecret: signingSecret("HS256 secret of tokens. Optional when CHAT_JWKS_URL is set.", {
    inherits: "JWT_SECRET",
    unless: "CHAT_JWKS_URL",
  }),
  jwtSecretPrevious: secret("An older CHAT_JWT_SECRET that is still believed."),
  jwtSecretPreviousUntil: instant("When CHAT_JWT_SECRET_PREVIOUS ends."),
  jwksUrl: url("Published keys of the issuer (JWKS)."),
  jwtIssuer: text(null, "Required `iss` of tokens."),
  strictClaims: flag(false, "Tokens must say role and aud; otherwise these count only when they are there."),
  clockSkew: seconds(5, "Seconds by which the clock of the issuer may differ.", { max: 300 }),
  singleDevice: flag(true, "The newest connection of a user ends all older ones (4008)."),
  maxSocketsPerUser: integer(5, "Sockets a user may have with CHAT_SINGLE_DEVICE=off; one more ends the oldest.", {
    min: 1,
  }),
  afkSeconds: seconds(0, "Seconds without a frame after which a socket is ended (4003); 0 = off.", { max: 86_400 }),
  pingSeconds: seconds(30, "Seconds between pings.", { min: 1, max: 3_600 }),
  maxMessageChars: integer(2_000, "Characters (code points) of a message.", { min: 1, max: 1_000_000 }),
  maxFrameBytes: integer(65_536, "Largest frame of a client in bytes.", { min: 1_024, max: 8_388_608 }),
  sendBufferBytes: integer(1_048_576, "Bytes that may wait for a slow reader.", { min: 65_536, max: 4_194_304 }),
  queueMax: integer(64, "Frames of one socket that may wait; beyond it the socket is not read.", {
    min: 1,
    max: 10_000,
  }),
  sendRate: integer(20, "Messages a second a user may send.", { min: 1 }),
  sendBurst: integer(200, "Messages a user may send at once.", { min: 1 }),
  rateStrikes: integer(200, "Sends over the rate within a minute after which the socket is ended (4012).", { min: 1 }),
  unauthorizedStrikes: integer(1, "Sends to strange rooms after which the socket is ended (4012).", { min: 1 }),
  restRate: integer(20, "REST calls a second a user may make.", { min: 1 }),
  restBurst: integer(100, "REST calls a user may make at once.", { min: 1 }),
  maxParticipants: integer(256, "Users in a room.", { min: 1, max: 10_000 }),
  roomDedupe: flag(true, "Asking for a room that the same people have already gives that room."),
  blocklistFile: text(null, "File of words and phrases that refuse a message, one a line."),
  moderationUrl: url("Hook that is asked about every message."),
  moderationToken: secret("Bearer token for the hook."),
  moderationTimeoutMs: milliseconds(2_000, "Milliseconds the hook may take.", { min: 1, max: 5_000 }),
  moderationFail: choice(["open", "closed"], "open", "Whether messages pass (open) while the hook does not answer."),
  moderationAction: choice(
    ["close", "reject"],
    "close",
    "What a refused message costs: the socket (4011), or nothing.",
  ),
  adminToken: secret("Bearer token of the administration routes; without it there are none."),
  origins: origins("*", "Comma list of allowed origins of browsers, or * for all."),
});

export type ChatSettings = Values<typeof chatSection>;

/** Faults that a single setting cannot show. */
export function checkSettings(settings: ChatSettings): SettingFault[] {
  const faults = previousSecretFaults("CHAT", settings);
  if (settings.blocklistFile !== undefined && !isReadable(settings.blocklistFile)) {
    faults.push({
      setting: "CHAT_BLOCKLIST_FILE",
      fault: `is "${settings.blocklistFile}", which cannot be read`,
      remedy: "name a text file that this user may read, or leave it unset",
    });
  }
  return faults;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
