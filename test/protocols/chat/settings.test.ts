import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { SettingsInvalid } from "../../../src/config/fault.ts";
import { loadSettings } from "../../../src/config/load.ts";
import { variable } from "../../../src/config/setting.ts";
import { chat } from "../../../src/protocols/chat/protocol.ts";
import { SECRET } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

/** Settings of a production installation, which asks for everything it needs. */
function load(env: Record<string, string>) {
  return loadSettings([chat], { NODE_ENV: "production", DATABASE_URL: "postgres://127.0.0.1/chat", ...env });
}

/** Names of the settings that stop a start with this environment. */
function faults(env: Record<string, string>): string[] {
  try {
    load(env);
    return [];
  } catch (error) {
    if (error instanceof SettingsInvalid) return error.faults.map(({ setting }) => setting);
    throw error;
  }
}

describe("section 9", () => {
  test("every setting of the table has its default", () => {
    const defaults = Object.entries(chat.settings.settings).map(([key, { fallback }]) => [
      variable("CHAT", key).slice("CHAT_".length),
      fallback,
    ]);
    expect(Object.fromEntries(defaults)).toEqual({
      ENABLED: "on",
      ROOT: "auto",
      LIST_SHAPE: "path",
      JWT_SECRET: null,
      JWT_SECRET_PREVIOUS: null,
      JWT_SECRET_PREVIOUS_UNTIL: null,
      JWKS_URL: null,
      JWT_ISSUER: null,
      STRICT_CLAIMS: "off",
      CLOCK_SKEW: "5",
      SINGLE_DEVICE: "on",
      MAX_SOCKETS_PER_USER: "5",
      AFK_SECONDS: "0",
      PING_SECONDS: "30",
      MAX_MESSAGE_CHARS: "2000",
      MAX_FRAME_BYTES: "65536",
      SEND_BUFFER_BYTES: "1048576",
      QUEUE_MAX: "64",
      SEND_RATE: "20",
      SEND_BURST: "200",
      RATE_STRIKES: "200",
      UNAUTHORIZED_STRIKES: "1",
      REST_RATE: "20",
      REST_BURST: "100",
      MAX_PARTICIPANTS: "256",
      ROOM_DEDUPE: "on",
      BLOCKLIST_FILE: null,
      MODERATION_URL: null,
      MODERATION_TOKEN: null,
      MODERATION_TIMEOUT_MS: "2000",
      MODERATION_FAIL: "open",
      MODERATION_ACTION: "close",
      ADMIN_TOKEN: null,
      ORIGINS: "*",
    });
  });

  test("one of secret and key address is required to start", () => {
    expect(faults({})).toEqual(["JWT_SECRET"]);
    expect(faults({ CHAT_JWT_SECRET: SECRET })).toEqual([]);
    expect(faults({ JWT_SECRET: SECRET })).toEqual([]);
    expect(faults({ CHAT_JWKS_URL: "https://issuer.example/keys" })).toEqual([]);
    expect(faults({ CHAT_ENABLED: "off" })).toEqual([]);
  });

  test("C-9.1 a value of the wrong type or range stops the start, naming the setting", () => {
    const rows = {
      CHAT_ENABLED: "maybe",
      CHAT_ROOT: "always",
      CHAT_LIST_SHAPE: "tree",
      CHAT_JWT_SECRET: "short",
      CHAT_JWKS_URL: "not a url",
      CHAT_CLOCK_SKEW: "-1",
      CHAT_SINGLE_DEVICE: "sometimes",
      CHAT_MAX_SOCKETS_PER_USER: "0",
      CHAT_AFK_SECONDS: "soon",
      CHAT_PING_SECONDS: "0",
      CHAT_MAX_MESSAGE_CHARS: "many",
      CHAT_MAX_FRAME_BYTES: "1",
      CHAT_SEND_BUFFER_BYTES: "1e9",
      CHAT_QUEUE_MAX: "0",
      CHAT_SEND_RATE: "0",
      CHAT_REST_BURST: "-5",
      CHAT_MAX_PARTICIPANTS: "0",
      CHAT_BLOCKLIST_FILE: "/nowhere/words.txt",
      CHAT_MODERATION_URL: "ftp://hook.example",
      CHAT_MODERATION_TIMEOUT_MS: "60000",
      CHAT_MODERATION_FAIL: "ajar",
      CHAT_MODERATION_ACTION: "shout",
      CHAT_ORIGINS: "nowhere",
    };
    for (const [name, value] of Object.entries(rows)) {
      expect([name, faults({ CHAT_JWT_SECRET: SECRET, [name]: value })]).toEqual([name, [name]]);
    }
    expect(faults({ CHAT_JWT_SECRET: SECRET, CHAT_JWT_SECRET_PREVIOUS: SECRET })).toEqual(["CHAT_JWT_SECRET_PREVIOUS"]);
  });

  test("C-9.1 an unknown CHAT_ name gives a warning", () => {
    const { warnings } = load({ CHAT_JWT_SECRET: SECRET, CHAT_SINGLE_DEVISE: "on" });
    expect(warnings.filter((line) => line.includes("CHAT_SINGLE_DEVISE"))).toHaveLength(1);
  });
});
