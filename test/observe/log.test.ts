import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createLog, type LogOptions, type RootLog } from "../../src/observe/log.ts";

setDefaultTimeout(120_000);

function capture(options: Partial<LogOptions> = {}): { log: RootLog; text: () => string; lines: () => Line[] } {
  const written: string[] = [];
  const log = createLog({
    level: "trace",
    format: "json",
    stream: { write: (line) => written.push(line) },
    ...options,
  });
  return { log, text: () => written.join(""), lines: () => written.map((line) => JSON.parse(line) as Line) };
}

type Line = Record<string, unknown>;

describe("lines", () => {
  test("a line is one JSON object with ISO time, level, fields and message", () => {
    const { log, lines } = capture();
    log.child({ protocol: "chat" }).info({ code: 4009 }, "socket closed");
    expect(lines()).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        protocol: "chat",
        code: 4009,
        msg: "socket closed",
      },
    ]);
  });

  test("levels below the chosen one are not written", () => {
    const { log, lines } = capture({ level: "warn" });
    log.info({}, "no");
    log.child({}).debug({}, "no");
    log.warn({}, "yes");
    expect(lines().map((line) => line.msg)).toEqual(["yes"]);
  });

  test("values that cannot or should not be printed in full are cut and the line stays JSON", () => {
    const { log, lines } = capture();
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    log.info(
      {
        circle,
        bytes: new Uint8Array(9),
        big: 10n,
        many: Array.from({ length: 60 }, (_, index) => index),
        text: "x".repeat(5_000),
        map: new Map([["a", 1]]),
        when: new Date(0),
        call: () => 1,
      },
      "odd",
    );
    const [line] = lines();
    expect(line).toMatchObject({ bytes: "(9 bytes)", big: "10", map: { a: 1 }, when: "1970-01-01T00:00:00.000Z" });
    expect(line?.many).toEqual([...Array(50).keys(), "(10 more)"]);
    expect(line?.text).toEndWith("… (5000 characters)");
    expect(line).not.toHaveProperty("call");
  });
});

describe("T-6.12 PINs, tokens, passwords and coordinates must not appear in logs", () => {
  test("hidden by name at any depth, in any spelling, in children and in error causes", () => {
    const { log, text } = capture();
    log.child({ refresh_token: "leak-1", peer: { accessToken: "leak-2" } }).info(
      {
        pin: 123456,
        user: { Password: "leak-3", deep: [{ "X-Admin-Token": "leak-4", lat: 51.5007, long: -0.1246 }] },
        headers: new Map([["Authorization", "leak-5"]]),
        location: { anything: "leak-6" },
        jwtSecret: "leak-7",
        cookie: ["leak-8"],
      },
      "joined",
    );
    expect(text()).not.toMatch(/leak|123456|51\.5007|0\.1246/);
    expect(text()).toContain('"Password":"[hidden]"');
  });

  test("flags and empty values under such a name stay readable", () => {
    const { log, lines } = capture();
    log.info({ token: false, password: null, tokens: undefined }, "x");
    expect(lines()[0]).toMatchObject({ token: false, password: null });
  });

  test("hidden by shape inside texts, errors and messages", () => {
    const { log, text, lines } = capture();
    const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJsZWFrIn0.c2lnbmF0dXJlLWxlYWs";
    log.error(
      {
        err: new Error(`bad ${jwt} here`, { cause: new Error("Authorization: Bearer leak-a") }),
        url: "/ws?room=1&token=leak-b&SESSID=leak-c#x",
        redis: "redis://user:leak-d@127.0.0.1:6379",
        quoted: `{"a":"Bearer leak-e"}`,
        body: JSON.stringify({ password: "leak-f", refresh_token: "leak-g", lat: 51.5007, pin: 123456, room: 7 }),
      },
      `refused ${jwt}`,
    );
    expect(text()).not.toMatch(/leak|eyJ|51\.5|123456/);
    expect(lines()[0]?.body).toEndWith('"room":7}');
    expect(lines()[0]).toMatchObject({ url: "/ws?room=1&token=[hidden]&SESSID=[hidden]#x", msg: "refused [hidden]" });
  });

  test("a failed statement is logged without its values", () => {
    const { log, text } = capture();
    const driver = Object.assign(new Error("duplicate key"), { code: "23505", parameters: ["leak"], query: "leak" });
    log.error({ err: new Error("Failed query: insert\nparams: leak,51.5", { cause: driver }) }, "insert failed");
    expect(text()).not.toMatch(/leak|51\.5/);
    expect(text()).toContain("23505");
  });
});

test("a field that is called like a part of the line takes nothing from it", () => {
  const { log, lines } = capture();
  log.info({ level: 3, time: 12, msg: "other" }, "done");
  expect(lines()[0]).toMatchObject({ level: "info", level_: 3, time_: 12, msg_: "other", msg: "done" });
});

describe("errors", () => {
  test("are spelled out with their chain of causes, wherever they stand", () => {
    const { log, lines } = capture();
    const root = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    log.warn({ task: { error: new TypeError("outer", { cause: root }) } }, "task failed");
    expect(lines()[0]?.task).toMatchObject({
      error: {
        type: "TypeError",
        message: "outer",
        stack: expect.arrayContaining([expect.stringMatching(/^at /)]),
        cause: { type: "Error", message: "refused", code: "ECONNREFUSED" },
      },
    });
  });
});

describe("pretty format", () => {
  test("one line for a person, errors below", () => {
    const { log, text } = capture({ format: "pretty" });
    log.error({ room: 7, err: new Error("broken", { cause: new Error("root") }) }, "send failed");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
    const bare = text().replace(/\x1b\[[\d;]*m/g, "");
    expect(bare).toMatch(/^\d\d:\d\d:\d\d\.\d{3} ERROR send failed room=7\n {2}err: Error: broken\n {4}at /);
    expect(bare).toContain("\n  cause: Error: root\n");
  });
});

describe("standard output", () => {
  const script = (body: string) =>
    `import { createLog } from ${JSON.stringify(new URL("../../src/observe/log.ts", import.meta.url).pathname)};
     const log = createLog({ level: "info", format: "auto" });\n${body}`;

  test("is JSON when it is no terminal, and flush() waits until every line is out", async () => {
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        script("for (let i = 0; i < 500; i++) log.info({ i }, 'n'); await log.flush(); process.exit(0)"),
      ],
      { stdout: "pipe" },
    );
    const lines = (await child.stdout.text()).trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as Line).i)).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  test("a reader that stands still does not stop the process; what was dropped is told", async () => {
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        script(`const text = "x".repeat(1000);
          // In one turn of the event loop, so that no reader can be quick enough.
          for (let i = 0; i < 20_000; i++) log.info({ text }, "n");
          process.stderr.write("alive");
          await Bun.stdin.text();
          await log.flush();
          log.info({}, "last");
          await log.flush();
          process.exit(0);`),
      ],
      { stdout: "pipe", stderr: "pipe", stdin: "pipe" },
    );
    const errors = child.stderr.getReader();
    expect(new TextDecoder().decode((await errors.read()).value)).toBe("alive");
    child.stdin.end();
    const lines = (await child.stdout.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
    expect(lines.at(-1)?.msg).toBe("last");
    const told = lines.filter((line) => String(line.msg).startsWith("log lines were dropped"));
    const dropped = told.reduce((sum, line) => sum + Number(line.lines), 0);
    expect(dropped).toBeGreaterThan(0);
    expect(lines.filter((line) => line.msg === "n").length + dropped).toBe(20_000);
    expect(await child.exited).toBe(0);
  });
});
