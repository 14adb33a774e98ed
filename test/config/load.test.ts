import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SettingsInvalid } from "../../src/config/fault.ts";
import { type Configured, type Loaded, loadSettings } from "../../src/config/load.ts";
import {
  flag,
  inheriting,
  integer,
  list,
  seconds,
  secret,
  section,
  signingSecret,
  text,
  url,
  type Values,
} from "../../src/config/setting.ts";

const alphaSection = section("ALPHA", {
  enabled: flag(true, "Serve it."),
  jwtSecret: signingSecret("Secret.", { inherits: "JWT_SECRET", unless: "ALPHA_JWKS_URL" }),
  jwksUrl: url("Keys."),
  roomTtl: seconds(1800, "Life of a room.", { min: 1 }),
  doors: list("front,back", "Doors."),
  adminPassword: secret("Password."),
});
const alpha: Configured<typeof alphaSection> = {
  name: "alpha",
  settings: alphaSection,
  check: (values: Values<typeof alphaSection>) =>
    values.roomTtl === 7_000
      ? [{ setting: "ALPHA_ROOM_TTL", fault: "is 7, which nobody likes", remedy: "take 8" }]
      : [],
};
const betaSection = section("BETA", {
  jwtSecret: signingSecret("Secret.", { inherits: "JWT_SECRET" }),
  refreshSecret: signingSecret("Another."),
  size: integer(5, "Size.", { min: 1, max: 9 }),
  brokers: inheriting(text(null, "Brokers."), "KAFKA_BROKERS"),
});
const beta: Configured<typeof betaSection> = { name: "beta", settings: betaSection };
// What `defineProtocol` does as well: a list of protocols does not know their settings' types.
const protocols = [alpha, beta] as unknown as Configured[];

const shared = "0123456789abcdef0123456789abcdef";
let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "patchbay-config-"));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

function load(env: Record<string, string> = {}): Loaded {
  return loadSettings(protocols, { DATA_DIR: dataDir, JWT_SECRET: shared, BETA_REFRESH_SECRET: shared, ...env });
}

function faultsOf(env: Record<string, string>): Record<string, string> {
  try {
    load(env);
  } catch (error) {
    if (error instanceof SettingsInvalid) {
      const told = error.message.split("\n");
      expect(new Set(told).size).toBe(told.length);
      return Object.fromEntries(error.faults.map(({ setting, fault, remedy }) => [setting, `${fault}; ${remedy}`]));
    }
    throw error;
  }
  return {};
}

describe("values", () => {
  test("come typed, with defaults, in the units of the program", () => {
    const settings = load({ PORT: "9000", ALPHA_ROOM_TTL: "1.5", TRUSTED_PROXIES: "10.0.0.0/8, ::1" });
    expect(settings.gateway).toMatchObject({ port: 9000, internalPort: 8081, trustedProxies: ["10.0.0.0/8", "::1"] });
    expect(settings.of(alpha)).toEqual({
      enabled: true,
      jwtSecret: shared,
      jwksUrl: undefined,
      roomTtl: 1_500,
      doors: ["front", "back"],
      adminPassword: undefined,
    });
    const size: number = settings.of(beta).size;
    expect(size).toBe(5);
  });

  test("set to nothing counts as not set, and none is the empty list", () => {
    expect(load({ BETA_SIZE: "", ALPHA_DOORS: " " }).of(beta).size).toBe(5);
    expect(load({ ALPHA_DOORS: " " }).of(alpha).doors).toEqual(["front", "back"]);
    expect(load({ ALPHA_DOORS: "none" }).of(alpha).doors).toEqual([]);
  });

  test("a secret of its own goes before the inherited one", () => {
    const own = "f".repeat(20);
    const settings = load({ BETA_JWT_SECRET: own });
    expect(settings.of(alpha).jwtSecret).toBe(shared);
    expect(settings.of(beta).jwtSecret).toBe(own);
  });

  test("a setting of any kind may inherit", () => {
    expect(load({ KAFKA_BROKERS: "a:9092" }).of(beta).brokers).toBe("a:9092");
  });
});

describe("T-9.1, C-9.1, W-14.20 faults", () => {
  test("all are told at once, each with the setting's name and a remedy", () => {
    const faults = faultsOf({
      PORT: "eighty",
      LOG_LEVEL: "loud",
      ALPHA_ROOM_TTL: "0",
      BETA_SIZE: "10",
      TRUSTED_PROXIES: "10.0.0.0/33",
      ALPHA_ENABLED: "maybe",
    });
    expect(Object.keys(faults).sort()).toEqual([
      "ALPHA_ENABLED",
      "ALPHA_ROOM_TTL",
      "BETA_SIZE",
      "LOG_LEVEL",
      "PORT",
      "TRUSTED_PROXIES",
    ]);
    expect(faults.PORT).toBe('is "eighty" (expected a whole number); correct it, or remove it to get 8080');
    expect(faults.BETA_SIZE).toContain("expected at most 9");
    for (const fault of Object.values(faults)) expect(fault).toMatch(/; \w/);
  });

  test("a secret's value is never shown, and a bad shared one is one fault", () => {
    const faults = faultsOf({ JWT_SECRET: "leak", ALPHA_JWT_SECRET: "leak2" });
    expect(faults).toEqual({
      JWT_SECRET: "is not acceptable (expected at least 16 characters); correct it, or remove it if it is not needed",
      ALPHA_JWT_SECRET:
        "is not acceptable (expected at least 16 characters); correct it, or remove it if it is not needed",
    });
    expect(JSON.stringify(faultsOf({ DATABASE_URL: "mysql://u:leak@h/d", REDIS_URL: "http://:leak@h" }))).not.toContain(
      "leak",
    );
  });

  test("faults across settings: a protocol's own check, equal ports, unknown protocols, addresses", () => {
    expect(faultsOf({ ALPHA_ROOM_TTL: "7" })).toEqual({ ALPHA_ROOM_TTL: "is 7, which nobody likes; take 8" });
    expect(faultsOf({ PORT: "7000", INTERNAL_PORT: "7000" }).INTERNAL_PORT).toContain("the same as PORT");
    expect(faultsOf({ PORT: "0", INTERNAL_PORT: "0" })).toEqual({});
    expect(faultsOf({ PROTOCOLS: "alpha,betta" }).PROTOCOLS).toBe(
      'names "betta", which is no protocol of this gateway; write beta',
    );
    expect(Object.keys(faultsOf({ DATABASE_URL: "postgres://u:p#w@h/d" }))).toEqual(["DATABASE_URL"]);
    expect(Object.keys(faultsOf({ REDIS_URL: "127.0.0.1:6379" }))).toEqual(["REDIS_URL"]);
    for (const broker of ["h", "h:", "h:0", "h:65536", "http://h:9092", "h:9092/t"]) {
      expect(faultsOf({ KAFKA_BROKERS: `first:9092,${broker}` }).KAFKA_BROKERS).toContain(
        "expected a comma list of host:port",
      );
    }
    expect(faultsOf({ KAFKA_BROKERS: "first:9092, 127.0.0.1:65535" })).toEqual({});
  });

  test.each([
    "postgres://localhost/app",
    "postgresql://u:p%23w@h:5432/d?sslmode=require",
    "postgres://u:p@h1:5432,h2:5432/d",
  ])("%s is an address of Postgres", (DATABASE_URL) => {
    expect(faultsOf({ DATABASE_URL })).toEqual({});
  });

  test.each(["redis://localhost", "rediss://u:p@h:6380/1", "redis+sentinel://a:1,b:2/main", "redis+cluster://a:1,b:2"])(
    "%s is an address of Redis",
    (REDIS_URL) => {
      expect(faultsOf({ REDIS_URL })).toEqual({});
    },
  );

  test("a data folder that cannot be one is told when the embedded database needs it", async () => {
    const file = join(dataDir, "file");
    await writeFile(file, "");
    expect(faultsOf({ DATA_DIR: join(file, "data") }).DATA_DIR).toContain("where the embedded database cannot be kept");
    expect(faultsOf({ DATA_DIR: join(file, "data"), DATABASE_URL: "postgres://h/d" })).toEqual({});
    expect(faultsOf({ DATA_DIR: join(dataDir, "not", "yet", "there") })).toEqual({});
  });
});

describe("which protocols are served", () => {
  test("all by default, those of PROTOCOLS, and none that is switched off", () => {
    const served = (env: Record<string, string>) => {
      const settings = load(env);
      return ["alpha", "beta"].filter((name) => settings.serves(name));
    };
    expect(served({})).toEqual(["alpha", "beta"]);
    expect(served({ PROTOCOLS: "beta" })).toEqual(["beta"]);
    expect(served({ ALPHA_ENABLED: "off" })).toEqual(["beta"]);
    expect(() => load({ PROTOCOLS: "beta" }).of(alpha)).toThrow("alpha is not served");
  });

  test("a value of the wrong type stops the start even where it is not served, a missing secret does not", () => {
    expect(Object.keys(faultsOf({ PROTOCOLS: "alpha", BETA_SIZE: "x" }))).toEqual(["BETA_SIZE"]);
    expect(faultsOf({ NODE_ENV: "production", PROTOCOLS: "alpha", BETA_REFRESH_SECRET: "" })).toEqual({});
  });
});

describe("warnings", () => {
  test("T-9.1 an unknown name with a protocol's prefix, with the name that was probably meant", () => {
    expect(load({ ALPHA_ROM_TTL: "5", BETA_ZZZZZZZZZ: "1", OTHER: "x" }).warnings).toEqual([
      "ALPHA_ROM_TTL is not a setting; did you mean ALPHA_ROOM_TTL?",
      "BETA_ZZZZZZZZZ is not a setting",
    ]);
  });

  test("in production, what is allowed there but seldom meant", () => {
    const warnings = load({ NODE_ENV: "production", INTERNAL_HOST: "0.0.0.0", TRUSTED_PROXIES: "0.0.0.0/0" }).warnings;
    expect(warnings.map((warning) => warning.split(" ")[0])).toEqual([
      "DATABASE_URL",
      "REDIS_URL",
      "INTERNAL_HOST",
      "TRUSTED_PROXIES",
    ]);
    const sound = { DATABASE_URL: "postgres://h/d", REDIS_URL: "redis://h" };
    expect(load({ NODE_ENV: "production", ...sound }).warnings).toEqual([]);
  });
});
