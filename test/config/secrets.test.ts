import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SettingsInvalid } from "../../src/config/fault.ts";
import { type Configured, loadSettings } from "../../src/config/load.ts";
import { flag, keptSecret, section, signingSecret, url } from "../../src/config/setting.ts";

setDefaultTimeout(120_000);

const alphaSection = section("ALPHA", {
  jwtSecret: signingSecret("Secret.", { inherits: "JWT_SECRET", unless: "ALPHA_JWKS_URL" }),
  jwksUrl: url("Keys."),
});
const betaSection = section("BETA", {
  jwtSecret: signingSecret("Secret.", { inherits: "JWT_SECRET" }),
  refreshSecret: signingSecret("Another."),
});
const gammaSection = section("GAMMA", { adminToken: keptSecret("Token of administrators.") });
const deltaSection = section("DELTA", {
  logins: flag(true, "Logins."),
  refreshSecret: signingSecret("Secret.", { unless: "DELTA_LOGINS=off" }),
});
const alpha: Configured<typeof alphaSection> = { name: "alpha", settings: alphaSection };
const beta: Configured<typeof betaSection> = { name: "beta", settings: betaSection };
const gamma: Configured<typeof gammaSection> = { name: "gamma", settings: gammaSection };
const delta: Configured<typeof deltaSection> = { name: "delta", settings: deltaSection };

let dataDir: string;
let file: string;
beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), "patchbay-secrets-")), "data");
  file = join(dataDir, "secrets.json");
});
afterEach(() => rm(join(dataDir, ".."), { recursive: true, force: true }));

const load = (env: Record<string, string> = {}, protocols: Configured[] = [alpha, beta], keep = true) =>
  loadSettings(protocols, { DATA_DIR: dataDir, ...env }, { keep });

function faults(run: () => unknown): SettingsInvalid["faults"] {
  try {
    run();
  } catch (error) {
    if (error instanceof SettingsInvalid) return error.faults;
    throw error;
  }
  return [];
}

describe("outside production", () => {
  test("missing secrets are made once, told in one warning, and the same at the next start", () => {
    const first = load();
    expect(first.warnings).toEqual([`JWT_SECRET, BETA_REFRESH_SECRET not set: using what is kept in ${file}`]);
    expect(first.of(alpha).jwtSecret).toMatch(/^[\w-]{43}$/);
    expect(first.of(beta).jwtSecret).toBe(first.of(alpha).jwtSecret!);
    expect(first.of(beta).refreshSecret).not.toBe(first.of(beta).jwtSecret);
    const second = load();
    expect(second.of(alpha)).toEqual(first.of(alpha));
    expect(second.of(beta)).toEqual(first.of(beta));
  });

  test("they are kept where only the owner reads them, and nothing else is left behind", async () => {
    load();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(["secrets.json"]);
    expect(Object.keys(await Bun.file(file).json()).sort()).toEqual(["BETA_REFRESH_SECRET", "JWT_SECRET", "seed"]);
  });

  test("a protocol that comes later gets one beside those that are there", async () => {
    const before = load({}, [alpha]).of(alpha).jwtSecret;
    const after = load();
    expect(after.of(alpha).jwtSecret).toBe(before);
    expect(await Bun.file(file).json()).toMatchObject({ BETA_REFRESH_SECRET: after.of(beta).refreshSecret });
  });

  test("each follows from the seed, so that two processes which add it at the same moment add the same", async () => {
    const before = load().of(beta);
    const { seed } = await Bun.file(file).json();
    await writeFile(file, JSON.stringify({ seed }));
    expect(load().of(beta)).toEqual(before);
  });

  test("one that a person wrote into the file is used", async () => {
    load();
    await writeFile(file, JSON.stringify({ ...(await Bun.file(file).json()), JWT_SECRET: "by hand, by a person" }));
    expect(load().of(beta).jwtSecret).toBe("by hand, by a person");
  });

  test("none is made for a setting that another one makes optional, or that is set", () => {
    const settings = load({ ALPHA_JWKS_URL: "https://keys.example/jwks" }, [alpha]);
    expect(settings.of(alpha).jwtSecret).toBeUndefined();
    expect(settings.warnings).toEqual([]);
    const shared = "s".repeat(32);
    expect(load({ JWT_SECRET: shared, BETA_REFRESH_SECRET: shared }).warnings).toEqual([]);
  });

  test("with keep: false nothing is written", async () => {
    expect(load({}, [alpha, beta], false).of(beta).refreshSecret).toHaveLength(43);
    expect(await Bun.file(file).exists()).toBe(false);
    const kept = load().of(beta);
    expect(load({}, [alpha, beta], false).of(beta)).toEqual(kept);
  });

  test("faults elsewhere keep the file from being made", async () => {
    expect(faults(() => load({ PORT: "x" })).map((fault) => fault.setting)).toEqual(["PORT"]);
    expect(await Bun.file(file).exists()).toBe(false);
  });

  test.each(["", "{", "[]", '{"seed":"short"}', '{"JWT_SECRET":"without a seed"}'])(
    "a damaged file (%s) is told and left alone",
    async (text) => {
      load();
      await writeFile(file, text);
      const [fault] = faults(() => load());
      expect(fault).toMatchObject({ setting: "DATA_DIR", fault: expect.stringContaining("is damaged") });
      expect(fault?.remedy).toContain("remove it to get new secrets");
      expect(await Bun.file(file).text()).toBe(text);
    },
  );

  test("a folder that cannot be made is told", async () => {
    await writeFile(join(dataDir, "..", "plain"), "");
    const DATA_DIR = join(dataDir, "..", "plain", "data");
    const [fault] = faults(() => load({ DATA_DIR, DATABASE_URL: "postgres://h/d" }));
    expect(fault).toMatchObject({ setting: "DATA_DIR", fault: expect.stringContaining("cannot be kept") });
  });

  test("processes that start at the same moment agree", async () => {
    const source = new URL("../../src/config/secrets.ts", import.meta.url).pathname;
    const children = Array.from({ length: 6 }, (_, index) =>
      Bun.spawn(
        [
          process.execPath,
          "-e",
          `import { keptSecrets } from ${JSON.stringify(source)};
           await Bun.stdin.text();
           process.stdout.write(JSON.stringify(keptSecrets(${JSON.stringify(dataDir)}, ["A", "B${index}", "C"])));`,
        ],
        { stdin: "pipe", stdout: "pipe" },
      ),
    );
    // All are waiting for the end of their input; they get it together.
    for (const child of children) child.stdin.end();
    const outputs = await Promise.all(children.map((child) => child.stdout.json() as Promise<Record<string, string>>));
    expect(new Set(outputs.map((secrets) => `${secrets.A} ${secrets.C}`)).size).toBe(1);
    expect(await readdir(dataDir)).toEqual(["secrets.json"]);
  });
});

describe("in production", () => {
  const production = { NODE_ENV: "production" };

  test("a missing secret stops the start, once for all who would inherit it, and says what to set", async () => {
    expect(faults(() => load(production))).toEqual([
      {
        setting: "JWT_SECRET",
        fault: "is not set, and neither is ALPHA_JWT_SECRET, BETA_JWT_SECRET",
        remedy:
          "set it to the output of `openssl rand -base64 32`, or set ALPHA_JWT_SECRET or ALPHA_JWKS_URL, BETA_JWT_SECRET instead",
      },
      {
        setting: "BETA_REFRESH_SECRET",
        fault: "is not set",
        remedy: "set it to the output of `openssl rand -base64 32`",
      },
    ]);
    expect(await Bun.file(file).exists()).toBe(false);
  });

  test("a setting that makes it optional is enough", () => {
    expect(faults(() => load({ ...production, ALPHA_JWKS_URL: "https://keys.example/jwks" }, [alpha]))).toEqual([]);
  });

  test("one value of a setting can make it optional, and only that value", () => {
    expect(faults(() => load({ ...production, DELTA_LOGINS: "off" }, [delta]))).toEqual([]);
    expect(faults(() => load({ ...production, DELTA_LOGINS: "No" }, [delta]))).toEqual([]);
    expect(faults(() => load({ ...production, DELTA_LOGINS: "on" }, [delta]))).toEqual([
      {
        setting: "DELTA_REFRESH_SECRET",
        fault: "is not set",
        remedy: "set it to the output of `openssl rand -base64 32`, or set DELTA_LOGINS=off instead",
      },
    ]);
  });

  test("F-9.2 a kept secret is made there too", () => {
    const first = load(production, [gamma]);
    expect(first.of(gamma).adminToken).toHaveLength(43);
    expect(load(production, [gamma]).of(gamma)).toEqual(first.of(gamma));
  });
});
