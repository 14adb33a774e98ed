import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chat } from "../../../src/protocols/chat/protocol.ts";
import { freePort } from "../../support/free-port.ts";
import { startProcess } from "../../support/process.ts";
import { Client, confirmed, ends, refused } from "./client.ts";
import { call, outcome, person, SECRET, type Stage, Stages, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
let folder: string;
let hook: Bun.Server<undefined>;
/** How the hook answers; what it was asked. */
let answer: (request: Request) => Response | Promise<Response>;
let asked: { authorization: string | null; body: unknown }[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchbay-chat-"));
  hook = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      asked.push({ authorization: request.headers.get("authorization"), body: await request.json() });
      return await answer(request);
    },
  });
});
beforeEach(() => {
  asked = [];
  answer = () => Response.json({ allowed: true });
});
afterAll(async () => {
  await stages.stop();
  await hook.stop(true);
  await rm(folder, { recursive: true, force: true });
});

const FORBIDDEN = ends.forbiddenText.reason;

/** Somebody in a room of his own. */
async function author(stage: Stage) {
  const who = await stage.person();
  const room = await stage.room(who);
  return { who, room, client: await stage.client(who) };
}

describe("C-4.15 the word list", () => {
  const list = [
    "# comment",
    "Badword",
    "two words",
    "",
    "stra\u00dfe # with a comment",
    "\u0441\u043b\u043e\u0432\u043e",
  ];
  let stage: Stage;
  beforeAll(async () => {
    const file = join(folder, "words.txt");
    await writeFile(file, list.join("\r\n"));
    stage = await stages.start({ env: { CHAT_BLOCKLIST_FILE: file, CHAT_MODERATION_ACTION: "reject" } });
  });
  afterEach(() => stage.leave());

  test("whole words and phrases, in any case and form", async () => {
    const { client, room } = await author(stage);
    const rows: [text: string, refusal: boolean][] = [
      ["badword", true],
      ["a BADWORD!", true],
      ["b\u00e4dword", false],
      ["badwords", false],
      ["notbadword", false],
      ["\uff22\uff41\uff44\uff57\uff4f\uff52\uff44", true],
      ["Two   words", true],
      ["two, words", true],
      ["two other words", false],
      ["two", false],
      ["STRASSE", true],
      ["\u0421\u041b\u041e\u0412\u041e", true],
      ["comment", false],
      ["with a comment", false],
    ];
    for (const [text, refusal] of rows) {
      const id = client.send(room, text);
      expect([text, await client.next()]).toEqual([text, refusal ? refused(id, FORBIDDEN) : confirmed(id)]);
    }
  });

  test("C-4.5 an earlier same send and strangers come before the list, empty texts too", async () => {
    const { client, room } = await author(stage);
    const id = client.send(room, "fine");
    client.send(room, "badword", id);
    client.send(room, " ", id);
    const long = client.send(room, `badword ${"x".repeat(3_000)}`);
    const strange = client.send(room + 1_000_000, "badword");
    expect([
      await client.next(),
      await client.next(),
      await client.next(),
      await client.next(),
      await client.next(),
    ]).toEqual([
      confirmed(id),
      refused(id, "message_temp_id was already used"),
      refused(id, "message_temp_id was already used"),
      refused(long, "message is too long"),
      refused(strange, "not a participant of this room"),
    ]);
  });

  test("a missing file stops the start, and the file is read again on a reload", async () => {
    const file = join(folder, "changing.txt");
    const env = { CHAT_BLOCKLIST_FILE: file };
    await expect(stages.start({ env })).rejects.toThrow("CHAT_BLOCKLIST_FILE");
    await writeFile(file, "first");
    const own = await stages.start({ env: { ...env, CHAT_MODERATION_ACTION: "reject" } });
    const { client, room } = await author(own);
    const said = async (text: string) => (await client.say(room, text)).confirmed;
    expect([await said("first"), await said("second")]).toEqual([false, true]);
    await writeFile(file, "second");
    await own.gateway.gateway.reload([chat]);
    expect([await said("first"), await said("second")]).toEqual([true, false]);
  });

  test("it is read again at SIGHUP, and sockets stay", async () => {
    const file = join(folder, "signalled.txt");
    await writeFile(file, "first");
    const moderation = { CHAT_BLOCKLIST_FILE: file, CHAT_MODERATION_ACTION: "reject" };
    const node = await startProcess({ env: { PROTOCOLS: "chat", CHAT_JWT_SECRET: SECRET, ...moderation } });
    onTestFinished(() => node.cleanUp());
    const who = await person();
    const { body } = await call(node.url, "POST", "/rooms", { as: who, body: { users: [] } });
    const client = await new Client(`${node.url}/chat/ws?token=${who.token}`).opened();
    const said = async (text: string) => (await client.say((body as { data: number }).data, text)).confirmed;
    expect([await said("first"), await said("second")]).toEqual([false, true]);
    for (const word of ["second", "third"]) {
      await writeFile(file, word);
      const before = node.output().length;
      node.child.kill("SIGHUP");
      await node.printed("protocols in force", before);
      expect([await said("first"), await said(word)]).toEqual([true, false]);
    }
  });
});

describe("the hook", () => {
  const env = (more: Record<string, string> = {}) => ({ CHAT_MODERATION_URL: hook.url.href, ...more });

  test("C-4.16 is asked about each message, with its token", async () => {
    const stage = await stages.start({ env: env({ CHAT_MODERATION_TOKEN: "hook token" }) });
    const { client, room, who } = await author(stage);
    const id = client.send(room, "Hello");
    expect(await client.next()).toEqual(confirmed(id));
    const body = { room_id: room, sender_id: who.id, message: "Hello" };
    expect(asked).toEqual([{ authorization: "Bearer hook token", body }]);
  });

  test("C-4.18 a refused text costs the socket, or nothing with CHAT_MODERATION_ACTION=reject", async () => {
    answer = () => Response.json({ allowed: false });
    const strict = await stages.startTimed(env());
    const first = await author(strict);
    const id = first.client.send(first.room, "x");
    const end = told(ends.forbiddenText);
    expect(await outcome(first.client)).toEqual({ ...end, frames: [refused(id, FORBIDDEN), ...end.frames] });
    const mild = await stages.startTimed(env({ CHAT_MODERATION_ACTION: "reject" }));
    const second = await author(mild);
    expect((await second.client.say(second.room, "x")).reason).toBe(FORBIDDEN);
    expect((await second.client.say(second.room, "x")).reason).toBe(FORBIDDEN);
    expect(await mild.texts(second.who, second.room)).toEqual([]);
  });

  test("C-4.5 it is not asked about repeats, strangers and bad texts", async () => {
    const stage = await stages.start({ env: env() });
    const { client, room } = await author(stage);
    const id = client.send(room, "once");
    client.send(room, "once", id);
    await client.next();
    expect(await client.next()).toEqual(confirmed(id));
    await client.say(room, " ");
    await client.say(room + 1_000_000, "strange");
    expect(asked.length).toBe(1);
  });

  test("C-4.17 without a good answer messages pass when open, and are refused when closed", async () => {
    const dead = `http://127.0.0.1:${await freePort()}/`;
    const bad: [string, () => Response | Promise<Response>][] = [
      ["500", () => Response.json({ allowed: false }, { status: 500 })],
      ["201", () => Response.json({ allowed: false }, { status: 201 })],
      ["no JSON", () => new Response("no")],
      ["no answer in it", () => Response.json({ allowed: "no" })],
      ["a redirect", () => Response.redirect(hook.url.href, 307)],
      ["nothing in time", () => new Promise(() => {})],
    ];
    const brief = { CHAT_MODERATION_TIMEOUT_MS: "200" };
    const [open, closed] = [
      await stages.start({ env: env(brief) }),
      await stages.start({ env: env({ ...brief, CHAT_MODERATION_FAIL: "closed" }) }),
    ];
    const [lenient, strict] = [await author(open), await author(closed)];
    for (const [name, bring] of bad) {
      answer = bring;
      expect([name, (await lenient.client.say(lenient.room, name)).confirmed]).toEqual([name, true]);
      const { reason } = await strict.client.say(strict.room, name);
      expect([name, reason]).toEqual([name, "message could not be checked"]);
    }
    expect(await closed.texts(strict.who, strict.room)).toEqual([]);
    const away = await stages.start({ env: { CHAT_MODERATION_URL: dead, CHAT_MODERATION_FAIL: "closed" } });
    const last = await author(away);
    expect((await last.client.say(last.room, "x")).reason).toBe("message could not be checked");
  });
});
