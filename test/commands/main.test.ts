import { describe, expect, test } from "bun:test";
import { version } from "../../package.json";
import { commands } from "../../src/commands/commands.ts";
import { openShell } from "./shell.ts";

const { patchbay } = openShell();

describe("what is not understood", () => {
  test("an unknown command is told, with the one that was probably meant, and ends with 2", async () => {
    expect(await patchbay(["migrat"])).toEqual({
      code: 2,
      out: "",
      err: "patchbay: there is no command migrat; did you mean migrate?\nTry: patchbay help\n",
    });
    expect((await patchbay(["constructor"])).code).toBe(2);
  });

  test.each([
    [["version", "--fast"], "Unknown option '--fast'"],
    [["serve", "--port", "80"], "Unknown option '--port'"],
    [["check", "now"], "now is one word too many"],
    [["token", "--ttl"], "Option '--ttl <value>' argument missing"],
    [["user"], "a word is missing"],
    [["user", "remove", "bob"], "there is no way to remove a user"],
    [["token", "--ttl", "soon"], "--ttl soon is no time"],
  ])("%p ends with 2 and says why", async (args, reason) => {
    const { code, out, err } = await patchbay(args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(reason);
  });
});

describe("help", () => {
  test("lists every command", async () => {
    const { code, out } = await patchbay(["--help"]);
    expect(code).toBe(0);
    for (const [name, { summary }] of Object.entries(commands)) {
      expect(out).toMatch(new RegExp(`^ {2}${name} +${RegExp.escape(summary)}$`, "m"));
    }
  });

  test("of one command, by either spelling", async () => {
    const { code, out } = await patchbay(["help", "token"]);
    expect(code).toBe(0);
    expect(out).toStartWith("Usage: patchbay token ");
    expect((await patchbay(["token", "--help"])).out).toBe(out);
  });
});

test("version tells version, commit and Bun", async () => {
  const expected = { code: 0, out: `patchbay ${version} (development, Bun ${Bun.version})\n`, err: "" };
  expect(await patchbay(["version"])).toEqual(expected);
  expect(await patchbay(["--version"])).toEqual(expected);
});

test("without a command the gateway is started, which says what is wrong with its settings", async () => {
  const { code, out, err } = await patchbay([], { env: { PORT: "many", LOG_LEVEL: "loud" } });
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err.split("\n").slice(0, 3)).toEqual([
    "patchbay cannot start with these settings:",
    '  PORT is "many" (expected a whole number)',
    "    correct it, or remove it to get 8080",
  ]);
  expect(err).toContain("LOG_LEVEL");
});
