import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { parseEnv } from "node:util";
import { describeSettings, settingsMarkdown } from "../../src/config/describe.ts";
import { protocols } from "../../src/protocols/index.ts";
import { postgresUrl } from "../support/postgres.ts";
import { testRedis } from "../support/redis.ts";
import { openShell } from "./shell.ts";

const { patchbay, scratch } = openShell();

const groups = describeSettings(protocols);
const names = groups.flatMap(({ rows }) => rows.map(({ name }) => name));

describe("env", () => {
  test("shows every setting once, with its meaning and default", async () => {
    const { code, out } = await patchbay(["env"]);
    expect(code).toBe(0);
    const shown = [...out.matchAll(/^(?:# )?([A-Z][A-Z0-9_]*)=/gm)].map((match) => match[1]);
    expect(shown).toEqual(names);
    expect(new Set(shown).size).toBe(shown.length);
    expect(out).toContain("# Public port of every protocol. 0 takes a free one. Default: 8080.\n# PORT=\n");
  });

  test("shows the values that are set, and no secret", async () => {
    const env = {
      PORT: "9000",
      KEY_PREFIX: "a b #",
      JWT_SECRET: "leak-leak-leak-leak",
      DATABASE_URL: "postgres://leak",
    };
    const { out } = await patchbay(["env"], { env });
    expect(out).not.toContain("leak");
    expect(parseEnv(out)).toMatchObject({ PORT: "9000", KEY_PREFIX: "a b #", JWT_SECRET: "********" });
  });

  test("--markdown prints the tables of the README", async () => {
    expect((await patchbay(["env", "--markdown"])).out).toBe(`${settingsMarkdown(groups)}\n`);
  });
});

describe("check", () => {
  test("sound settings end with 0, and nothing is written", async () => {
    const env = { DATA_DIR: scratch("unwritten") };
    const { code, out } = await patchbay(["check"], { env });
    expect(code).toBe(0);
    expect(out).toContain("the settings are sound;");
    expect(out).toContain("warning: JWT_SECRET");
    expect(existsSync(env.DATA_DIR)).toBe(false);
  });

  test("all faults, each with its remedy, end with 1; secrets stay unseen", async () => {
    const env = { PORT: "x", PROTOCOLS: "nope", JWT_SECRET: "leak", DATABASE_URL: "mysql://leak" };
    const { code, out, err } = await patchbay(["check"], { env });
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect([...err.matchAll(/^ {2}([A-Z_]+) /gm)].map((match) => match[1]).sort()).toEqual([
      "DATABASE_URL",
      "JWT_SECRET",
      "PORT",
      "PROTOCOLS",
    ]);
    expect([...err.matchAll(/^ {4}\S/gm)]).toHaveLength(4);
    expect(err).not.toContain("leak");
  });

  test("what the remedy of DATABASE_URL shows is not taken for a login", async () => {
    const { err } = await patchbay(["check"], { env: { DATABASE_URL: "mysql://leak" } });
    expect(err).toContain("write postgres://host:5432/name, with user:password@ before the host");
  });

  test("an address of Redis that no start would take is a fault", async () => {
    const { code, out, err } = await patchbay(["check"], { env: { REDIS_URL: "redis+sentinel://127.0.0.1" } });
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("a sentinel URL names its master");
  });

  test("in production a missing secret is a fault", async () => {
    const { code, err } = await patchbay(["check"], { env: { NODE_ENV: "production" } });
    expect(code).toBe(1);
    expect(err).toContain("JWT_SECRET is not set");
    expect(err).toContain("openssl rand -base64 32");
  });

  test("--connect says that both stores answer, with the login hidden", async () => {
    const { available, url } = await testRedis();
    // Whoever looked for the stores has said so loudly, or thrown where they must be there.
    if (!available || postgresUrl === undefined) return;
    const reachable = { DATABASE_URL: postgresUrl, REDIS_URL: url, KEY_PREFIX: "patchbay-check-test:" };
    const { code, out, err } = await patchbay(["check", "--connect"], { env: reachable });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^Postgres answers at postgres:/m);
    expect(out).toMatch(/^Redis answers at redis:/m);
  });

  test("--connect says which store does not answer, with the login hidden", async () => {
    // Port 1 belongs to a service nobody runs.
    const away = { DATABASE_URL: "postgres://u:leak@127.0.0.1:1/d", REDIS_URL: "redis://u:leak@127.0.0.1:1" };
    const { code, out, err } = await patchbay(["check", "--connect"], { env: away });
    expect(code).toBe(1);
    expect(out).toContain("Postgres does not answer at postgres://[hidden]@127.0.0.1:1/d");
    expect(out).toContain("Redis does not answer at redis://[hidden]@127.0.0.1:1");
    expect(out + err).not.toContain("leak");
  });
});
