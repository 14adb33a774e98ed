import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SettingsInvalid } from "../../../src/config/fault.ts";
import { loadSettings } from "../../../src/config/load.ts";
import { variable } from "../../../src/config/setting.ts";
import { tracker } from "../../../src/protocols/tracker/protocol.ts";
import { PATH, REFRESH_SECRET, SECRET, Stages } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "patchbay-tracker-"));
});
afterAll(async () => {
  await stages.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const secrets = { TRACKER_JWT_SECRET: SECRET, TRACKER_REFRESH_SECRET: REFRESH_SECRET };

function load(env: Record<string, string>) {
  return loadSettings([tracker], { DATA_DIR: dataDir, NODE_ENV: "production", ...env });
}

/** Names of the settings that stop a start with this environment. */
function faults(env: Record<string, string>): string[] {
  try {
    load(env);
    return [];
  } catch (error) {
    if (error instanceof SettingsInvalid) return error.faults.map((fault) => fault.setting);
    throw error;
  }
}

describe("section 9", () => {
  test("every setting of the table has its default", () => {
    const defaults = Object.fromEntries(
      Object.entries(tracker.settings.settings).map(([key, setting]) => [
        variable("TRACKER", key).slice("TRACKER_".length),
        setting.fallback,
      ]),
    );
    expect(defaults).toEqual({
      ENABLED: "on",
      EIO3: "on",
      ACCOUNTS: "on",
      JWT_SECRET: null,
      REFRESH_SECRET: null,
      JWT_SECRET_PREVIOUS: null,
      JWT_SECRET_PREVIOUS_UNTIL: null,
      JWKS_URL: null,
      JWKS_COOLDOWN: "30",
      JWT_ISSUER: null,
      JWT_AUDIENCE: null,
      CLOCK_SKEW: "5",
      USER_CHECK: "off",
      COOKIE_TOKEN: "off",
      ROOM_TTL: "1800",
      ACCESS_TTL: "1800",
      REFRESH_TTL: "604800",
      TOKEN_GRACE: "1800",
      REPLAY_LAST: "on",
      LEGACY_ROOM_MESSAGE: "off",
      RESUME_SECONDS: "120",
      PIN_RATE: "1",
      MAX_PINS_PER_USER: "120",
      JOIN_FAILS_USER: "20",
      JOIN_FAILS_IP: "200",
      JOIN_WINDOW: "600",
      EVENT_RATE: "100",
      EVENT_BURST: "1000",
      MAX_ROOMS_PER_SOCKET: "50",
      MAX_SOCKETS_PER_USER: "20",
      MAX_MESSAGE_BYTES: "65536",
      SEND_BUFFER_BYTES: "1048576",
      ORIGINS: "*",
      HIDE_USERS: "off",
    });
  });

  test("secrets that are missing or alike stop the start", () => {
    const { TRACKER_JWT_SECRET, TRACKER_REFRESH_SECRET } = secrets;
    expect(faults(secrets)).toEqual([]);
    expect(faults({ TRACKER_REFRESH_SECRET })).toEqual(["JWT_SECRET"]);
    expect(faults({ TRACKER_REFRESH_SECRET, TRACKER_JWKS_URL: "https://keys.example/jwks" })).toEqual([]);
    expect(faults({ TRACKER_JWT_SECRET })).toEqual(["TRACKER_REFRESH_SECRET"]);
    expect(faults({ TRACKER_JWT_SECRET, TRACKER_ACCOUNTS: "off" })).toEqual([]);
    expect(faults({ ...secrets, TRACKER_REFRESH_SECRET: SECRET })).toEqual(["TRACKER_REFRESH_SECRET"]);
    expect(faults({ ...secrets, TRACKER_REFRESH_SECRET: SECRET, TRACKER_ACCOUNTS: "off" })).toEqual([]);
    expect(faults({ TRACKER_ENABLED: "off" })).toEqual([]);
    expect(faults({ ...secrets, TRACKER_JWT_SECRET_PREVIOUS: SECRET })).toEqual(["TRACKER_JWT_SECRET_PREVIOUS"]);
  });

  test("T-9.1 a value of the wrong type or range stops the start, an unknown name warns", () => {
    const wrong = {
      TRACKER_ROOM_TTL: "soon",
      TRACKER_PIN_RATE: "0",
      TRACKER_EIO3: "perhaps",
      TRACKER_ORIGINS: "not an origin",
      TRACKER_JWKS_URL: "ftp://keys.example",
      TRACKER_MAX_MESSAGE_BYTES: "-1",
    };
    expect(faults({ ...secrets, ...wrong }).sort()).toEqual(Object.keys(wrong).sort());
    expect(load({ ...secrets, TRACKER_ROOM_TTTL: "5" }).warnings.join()).toContain("TRACKER_ROOM_TTTL");
  });

  test("TRACKER_ENABLED=off serves nothing", async () => {
    const off = await stages.start({ env: { TRACKER_ENABLED: "off" } });
    for (const path of [`${PATH}?EIO=4&transport=polling`, "/track/generate-pin", "/user/generate"]) {
      expect((await fetch(off.url + path)).status).toBe(404);
    }
  });

  test("TRACKER_ACCOUNTS=off serves no accounts", async () => {
    const off = await stages.start({ env: { TRACKER_ACCOUNTS: "off" } });
    expect((await off.call("POST", "/login", {})).status).toBe(404);
    expect((await off.call("POST", "/user", {})).status).toBe(404);
    expect(await off.pin()).toMatch(/^\d{6}$/);
  });

  test("MAX_CONNECTIONS_PER_USER of the gateway holds beside the tracker's own limit", async () => {
    const narrow = await stages.start({ env: { MAX_CONNECTIONS_PER_USER: "1" } });
    const person = await narrow.person();
    await narrow.client({ person });
    const second = await narrow.client({ person, patient: true });
    expect(await second.until("error")).toEqual({
      details: { type: "too_many_connections", msg: "Too many connections" },
    });
  });
});
