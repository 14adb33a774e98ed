import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createAccounts } from "../../src/accounts/store.ts";
import { createVerifier } from "../../src/accounts/verifier.ts";
import { systemClock } from "../../src/clock.ts";
import { migrations } from "../../src/database/migrate.ts";
import { openDatabase } from "../../src/database/open.ts";
import { createLog } from "../../src/observe/log.ts";
import { protocols } from "../../src/protocols/index.ts";
import { projectRoot } from "../support/process.ts";
import { openShell } from "./shell.ts";

const { patchbay, scratch } = openShell();

const secret = "a secret of this test, long enough";
const env = { DATA_DIR: scratch("data"), JWT_SECRET: secret };
const log = createLog({ level: "error", format: "json" });
const openStore = () => openDatabase({ dataDir: env.DATA_DIR }, { log });

/** The lines `word   value` of a command's output. */
function fields(out: string): Record<string, string> {
  return Object.fromEntries(
    out
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/, 2) as [string, string]),
  );
}

describe("migrate", () => {
  test("tells what it applied, and then that nothing is left to do", async () => {
    const first = await patchbay(["migrate"], { env });
    expect(first).toEqual({ code: 0, out: migrations.map(({ name }) => `applied ${name}\n`).join(""), err: "" });
    expect(await patchbay(["migrate"], { env })).toEqual({ code: 0, out: "the database is up to date\n", err: "" });
  });
});

describe("user add", () => {
  test("makes an account that can log in, the password read from the input", async () => {
    const { code, out, err } = await patchbay(
      ["user", "add", "Alice", "--email", "a@example.com", "--name", "A. Lice"],
      {
        env,
        input: "correct horse\nsecond line\n",
      },
    );
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const { id, number, username } = fields(out);
    const database = await openStore();
    try {
      const accounts = createAccounts(database, { clock: systemClock });
      expect(await accounts.checkPassword("alice", "correct horse")).toMatchObject({
        account: { id, number: Number(number), username, email: "a@example.com", name: "A. Lice" },
      });
    } finally {
      await database.close();
    }
  });

  test("at a terminal the password is asked for and not shown", async () => {
    let screen = "";
    const asked = Promise.withResolvers<void>();
    const child = Bun.spawn([process.execPath, "src/main.ts", "user", "add", "greta"], {
      cwd: projectRoot,
      env: { PATH: process.env.PATH ?? "", ...env },
      terminal: {
        data(_terminal, data) {
          screen += new TextDecoder().decode(data);
          if (screen.includes("Password: ")) asked.resolve();
        },
      },
    });
    await asked.promise;
    child.terminal!.write("hidden workx\x7fds\r");
    expect(await child.exited).toBe(0);
    expect(screen).not.toContain("hidden");
    const database = await openStore();
    try {
      const accounts = createAccounts(database, { clock: systemClock });
      expect(await accounts.checkPassword("greta", "hidden workds")).toHaveProperty("account");
    } finally {
      await database.close();
    }
  });

  test("a name that is taken ends with 1", async () => {
    await patchbay(["user", "add", "bob", "--password", "secret"], { env });
    const { code, out, err } = await patchbay(["user", "add", "BOB", "--password", "secret"], { env });
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toStartWith("patchbay: ");
  });

  test.each([
    [["add", ""], "a username is not empty"],
    [["add", "a@b.example"], "an address goes to --email"],
    [["add", "carol", "--password", ""], "a password is not empty"],
    [["add"], "a word is missing"],
  ])("%p makes nothing", async (args, reason) => {
    const { code, err } = await patchbay(["user", ...args], { env, input: "" });
    expect(code).toBe(2);
    expect(err).toContain(reason);
  });

  test("while another process has the embedded database, it says what to do", async () => {
    const database = await openStore();
    try {
      const { code, err } = await patchbay(["user", "add", "dora", "--password", "secret"], { env });
      expect(code).toBe(1);
      expect(err).toContain(
        "belongs to a process that runs, most likely the gateway; stop it while this command works",
      );
      expect(err).toContain("DATABASE_URL");
    } finally {
      await database.close();
    }
  });
});

describe("token", () => {
  const issuers = protocols.filter((protocol) => protocol.token !== undefined);
  const person = ["--id", "11111111-2222-4333-8444-555555555555", "--number", "42", "--username", "eve"];
  let number = "";

  beforeAll(async () => {
    const { out } = await patchbay(["user", "add", "frank", "--password", "secret"], { env });
    number = fields(out).number!;
  });

  test("there is a protocol to make tokens for", () => {
    expect(issuers.map((protocol) => protocol.name)).not.toEqual([]);
  });

  test.each(issuers.map((protocol) => [protocol.name, protocol] as const))(
    "%s: it carries what the protocol says of the account and lives as long as asked",
    async (name, protocol) => {
      const now = Date.now() / 1000;
      const { code, out } = await patchbay(["token", ...person, "--protocol", name, "--ttl", "2h"], { env });
      expect(code).toBe(0);
      const verifier = createVerifier({ clock: systemClock, secret, clockSkew: 0 });
      const { exp, ...claims } = await verifier.verify(out.trim());
      expect(exp).toBeWithin(Math.floor(now) + 7_200, Date.now() / 1000 + 7_201);
      expect(claims).toMatchObject(
        protocol.token!.claims({
          id: person[1]!,
          number: 42,
          username: "eve",
          email: null,
          name: null,
          disabled: false,
          createdAt: new Date(),
        }),
      );
    },
  );

  test("an account is found by username and by number", async () => {
    const protocol = issuers[0]!.name;
    const byName = await patchbay(["token", "frank", "--protocol", protocol, "--ttl", "1h"], { env });
    const byNumber = await patchbay(["token", number, "--protocol", protocol, "--ttl", "1h"], { env });
    const claimsOf = ({ out }: { out: string }) => {
      const { exp: _exp, ...claims } = JSON.parse(Buffer.from(out.split(".")[1]!, "base64url").toString());
      return claims;
    };
    expect(claimsOf(byName)).toEqual(claimsOf(byNumber));
    const missing = await patchbay(["token", "nobody", "--protocol", protocol], { env });
    expect(missing).toMatchObject({ code: 2, out: "" });
    expect(missing.err).toContain("there is no account nobody");
  });

  test("there is none for a disabled account", async () => {
    const database = await openStore();
    const accounts = createAccounts(database, { clock: systemClock });
    await accounts.create({ username: "gone", password: "secret", disabled: true }).finally(() => database.close());
    const { code, out, err } = await patchbay(["token", "gone", "--protocol", issuers[0]!.name], { env });
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("the account gone is disabled");
  });

  test("what the token needs and was not said is asked for", async () => {
    const { code, err } = await patchbay(["token", "--protocol", issuers[0]!.name], { env });
    expect(code).toBe(2);
    expect(err).toMatch(/name a user, or say --(id|number|username)/);
  });

  test.each([
    ["chat", "--id", "zz", "--id zz is no UUID"],
    ["conversations", "--number", "many", "--number many is no number of an account"],
  ])("of %s: what no client could be is refused", async (protocol, option, value, reason) => {
    const { code, out, err } = await patchbay(["token", "--protocol", protocol, option, value], { env });
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(reason);
  });

  test("an unknown protocol is told with those there are", async () => {
    const { code, err } = await patchbay(["token", "frank", "--protocol", "smoke"], { env });
    expect(code).toBe(2);
    expect(err).toContain(issuers.map((protocol) => protocol.name).join(", "));
  });
});

afterAll(() => log.flush());
