import { describe, expect, test } from "bun:test";
import { SettingsInvalid } from "../../../src/config/fault.ts";
import { loadSettings } from "../../../src/config/load.ts";
import { workspaces } from "../../../src/protocols/workspaces/protocol.ts";
import { type WorkspacesSettings, workspacesSection } from "../../../src/protocols/workspaces/settings.ts";

const KEY = { WORKSPACES_SECRET_KEY: "a secret key for the tests of workspaces" };

/** What these variables make of the settings. Nothing is written. */
const load = (env: Record<string, string>) => loadSettings([workspaces], { ...KEY, ...env }, { keep: false });
const read = (env: Record<string, string> = {}) => load(env).of(workspaces) as unknown as WorkspacesSettings;

/** The settings that a start is refused for, and all that is said about it. */
function refusal(env: Record<string, string>): { settings: string[]; text: string } {
  try {
    load(env);
  } catch (error) {
    if (error instanceof SettingsInvalid)
      return { settings: error.faults.map((one) => one.setting), text: error.message };
    throw error;
  }
  return { settings: [], text: "" };
}

const SECOND = 1000;
const DAY = 86_400 * SECOND;

test("W-14.2 W-14.4 W-14.5 W-14.7 W-14.9 W-14.10 W-14.14 defaults", () => {
  expect(read()).toMatchObject({
    hosts: [],
    origins: "*",
    pingInterval: 25_000,
    pingTimeout: 15_000,
    authDeadline: 10 * SECOND,
    accessTtl: 3600 * SECOND,
    refreshTtl: 31 * DAY,
    refreshGrace: 30 * SECOND,
    tokenGrace: 60 * SECOND,
    grace: 5 * SECOND,
    graceInChannel: 60 * SECOND,
    inviteTimeout: 40 * SECOND,
    inviteMaxUses: 100,
    emptyTalkTtl: 600 * SECOND,
    guestTtl: 3600 * SECOND,
    maxPacket: 65_536,
    maxBroadcast: 16_384,
    sendQueue: 1_048_576,
    rateEvents: 20,
    rateRest: 20,
    ratePublic: 300,
    socketsPerUser: 20,
    socketsPerIp: 5000,
    unauthPerIp: 1000,
    bindSid: true,
    longPoll: false,
    hidePrivateChannels: false,
    janusUrl: [],
    janusTimeout: 5 * SECOND,
    janusFailover: 30 * SECOND,
    smtpUrl: undefined,
    mailFrom: undefined,
    publicUrl: undefined,
    filesDir: undefined,
  });
});

describe("W-14.21 times", () => {
  const times = {
    PING_INTERVAL: ["pingInterval", 1],
    PING_TIMEOUT: ["pingTimeout", 1],
    AUTH_DEADLINE: ["authDeadline", SECOND],
    ACCESS_TTL: ["accessTtl", SECOND],
    REFRESH_TTL: ["refreshTtl", DAY],
    REFRESH_GRACE: ["refreshGrace", SECOND],
    TOKEN_GRACE: ["tokenGrace", SECOND],
    GRACE: ["grace", SECOND],
    GRACE_IN_CHANNEL: ["graceInChannel", SECOND],
    INVITE_TIMEOUT: ["inviteTimeout", SECOND],
    EMPTY_TALK_TTL: ["emptyTalkTtl", SECOND],
    GUEST_TTL: ["guestTtl", SECOND],
    JANUS_TIMEOUT: ["janusTimeout", SECOND],
    JANUS_FAILOVER: ["janusFailover", SECOND],
  } as const;

  test("are plain numbers in their unit, fractions too", () => {
    for (const [name, [key, unit]] of Object.entries(times)) {
      for (const text of unit === 1 ? ["250", "250.5"] : ["2", "0.5", "1.25"]) {
        expect([name, text, read({ [`WORKSPACES_${name}`]: text })[key]]).toEqual([name, text, Number(text) * unit]);
      }
    }
  });

  test("W-14.20 and nothing else", () => {
    for (const name of Object.keys(times)) {
      for (const text of ["-1", "soon", "1,5", "1e999", "NaN"]) {
        expect([text, refusal({ [`WORKSPACES_${name}`]: text }).settings]).toEqual([text, [`WORKSPACES_${name}`]]);
      }
    }
  });
});

describe("W-14.20 bad settings", () => {
  test("stop the start by their name", () => {
    for (const [name, value] of [
      ["SOCKETS_PER_USER", "0"],
      ["RATE_REST", "many"],
      ["BIND_SID", "perhaps"],
      ["PUBLIC_URL", "not a url"],
      ["SMTP_URL", "http://mail.example"],
      ["ORIGINS", "example.com/path"],
      ["MAX_PACKET", "12"],
    ] as const) {
      expect([name, refusal({ [`WORKSPACES_${name}`]: value }).settings]).toEqual([name, [`WORKSPACES_${name}`]]);
    }
  });

  test("W-14.15 a mail server needs a sender and a base of its links", () => {
    const mail = { WORKSPACES_SMTP_URL: "smtp://mail.example" };
    expect(refusal(mail).settings).toEqual(["WORKSPACES_MAIL_FROM", "WORKSPACES_PUBLIC_URL"]);
    const whole = { ...mail, WORKSPACES_MAIL_FROM: "a@mail.example", WORKSPACES_PUBLIC_URL: "https://app.example" };
    expect(refusal(whole).settings).toEqual([]);
  });

  test("W-13.10 W-14.11 no secret has a default; in production a missing one stops the start", () => {
    for (const [key, setting] of Object.entries(workspacesSection.settings)) {
      if (setting.secret) expect([key, setting.fallback]).toEqual([key, null]);
    }
    const production = { NODE_ENV: "production", DATABASE_URL: "postgres://db/patchbay" };
    expect(refusal({ ...production, WORKSPACES_SECRET_KEY: "" }).settings).toEqual(["WORKSPACES_SECRET_KEY"]);
    expect(refusal(production).settings).toEqual([]);
  });

  test("secrets are not repeated; names nobody knows are warned about", () => {
    const { settings, text } = refusal({
      WORKSPACES_SMTP_URL: "ftp://user:hidden@mail.example",
      WORKSPACES_GRACE: "x",
    });
    expect(settings.sort()).toEqual(["WORKSPACES_GRACE", "WORKSPACES_SMTP_URL"]);
    expect(text).not.toContain("hidden");
    const { warnings } = load({ WORKSPACES_RATE_RESTT: "5" });
    expect(warnings.join("\n")).toContain("WORKSPACES_RATE_RESTT");
    const secrets = Object.entries(workspacesSection.settings).flatMap(([key, { secret }]) => (secret ? [key] : []));
    expect(secrets.sort()).toEqual(
      [
        "secretKey",
        "janusAdminSecret",
        "janusAudiobridgeKey",
        "janusVideoroomKey",
        "janusTextroomKey",
        "smtpUrl",
      ].sort(),
    );
  });
});
