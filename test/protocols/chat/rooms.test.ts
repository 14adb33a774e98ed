import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { enveloped, failed, type Person, type Stage, Stages, sharesDatabase } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start({ env: { CHAT_REST_BURST: "1000" } });
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

const ids = (...people: Person[]) => people.map(({ id }) => id);
const open = (as: Person, body: unknown) => stage.call("POST", "/rooms", { as, body });
const change = (as: Person, body: unknown) => stage.call("PUT", "/rooms", { as, body });
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

async function details(as: Person, room: number) {
  const { body } = await stage.call("GET", `/rooms/${room}`, { as });
  return body as { owner_id: string; participants_id: string[]; messages: { id: number; message: string }[] };
}

async function list(as: Person) {
  const { body } = await stage.call("GET", "/chat/rooms", { as });
  return body as { room_id: number }[];
}

describe("section 3: opening rooms", () => {
  test("C-3.1 C-3.13 C-3.14 the caller joins and owns; duplicates and unknown keys are dropped", async () => {
    const [alice, bobby] = await stage.people(2);
    const users = [bobby!.id, alice!.id, bobby!.id];
    const { status, body } = await open(alice!, { users, apartment_id: null, owner_id: bobby!.id });
    const room = (body as { data: number }).data;
    expect([status, body]).toEqual([200, enveloped(expect.any(Number))]);
    expect(await stage.call("GET", `/rooms/${room}`, { as: bobby! })).toMatchObject({
      status: 200,
      body: {
        room_id: room,
        apartment_id: null,
        created_at: time,
        owner_id: alice!.id,
        participants_id: ids(alice!, bobby!),
        messages: [],
      },
    });
  });

  test("C-3.13 no users: a room of one's own; no apartment_id: null", async () => {
    const alice = await stage.person();
    const { body } = await open(alice, { users: [] });
    const room = (body as { data: number }).data;
    expect(await list(alice)).toMatchObject([{ room_id: room, participants_id: [alice.id], apartment_id: null }]);
  });

  test("C-3.15 the same people and apartment: the same room, whoever of them asks, and when calls race", async () => {
    const [alice, bobby] = await stage.people(2);
    const calls = Array.from({ length: 10 }, (_, n) =>
      n % 2 ? open(alice!, { users: [bobby!.id] }) : open(bobby!, { users: ids(alice!, bobby!), apartment_id: null }),
    );
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(({ body }) => (body as { data: number }).data)).size).toBe(1);
    const rooms = [
      await open(alice!, { users: [bobby!.id], apartment_id: 7 }),
      await open(alice!, { users: [bobby!.id], apartment_id: 8 }),
      await open(alice!, { users: [bobby!.id, randomUUID()] }),
      await open(alice!, { users: [] }),
    ];
    expect(new Set(rooms.map(({ body }) => (body as { data: number }).data)).size).toBe(4);
    expect((await open(bobby!, { users: [alice!.id], apartment_id: 7 })).body).toEqual(rooms[0]!.body);
  });

  test.if(sharesDatabase)(
    "C-3.15 the oldest of several, and a new one each time with CHAT_ROOM_DEDUPE=off",
    async () => {
      const plain = await stages.start({ env: { CHAT_ROOM_DEDUPE: "off" } });
      const [alice, bobby] = await stage.people(2);
      const rooms = [await plain.room(alice!, bobby!), await plain.room(alice!, bobby!)];
      expect(rooms[0]).not.toBe(rooms[1]!);
      expect(await stage.room(alice!, bobby!)).toBe(rooms[0]!);
    },
  );

  test("C-3.10 C-3.16 what is not valid", async () => {
    const alice = await stage.person();
    const room = await stage.room(alice);
    const rows: [body: unknown, error: string][] = [
      ["", "request body is not valid JSON"],
      ["{", "request body is not valid JSON"],
      ["null", "request body is not valid JSON"],
      ["[]", "users is not valid"],
      [{}, "users is not valid"],
      [{ users: "all" }, "users is not valid"],
      [{ users: ["somebody"] }, "users is not valid"],
      [{ users: [7] }, "users is not valid"],
      [{ users: null }, "users is not valid"],
      ...[0, -1, 1.5, "7", true, {}, [], 2 ** 53].map((apartment_id): [unknown, string] => [
        { users: [], apartment_id },
        "apartment_id is not valid",
      ]),
    ];
    for (const [body, error] of rows) {
      const answer = await open(alice, body);
      expect([body, answer.status, answer.body]).toEqual([body, 400, failed(error)]);
    }
    expect(await list(alice)).toMatchObject([{ room_id: room }]);
    const { status, body } = await open(alice, { users: Array.from({ length: 1_000 }, () => randomUUID()) });
    expect([status, body]).toEqual([409, failed("too many participants")]);
    const long = await open(alice, { users: [], padding: "x".repeat(65_536) });
    expect([long.status, long.body]).toEqual([413, failed("request body too large")]);
  });
});

describe("section 3: reading rooms", () => {
  test("C-3.2 C-3.16 C-3.17 C-3.18 C-3.19 C-3.20 the list: newest message first, messages in full", async () => {
    const [alice, bobby, clara] = await stage.people(3);
    const quiet = await stage.room(alice!, clara!);
    const old = await stage.room(alice!, bobby!);
    const recent = await stage.room(bobby!, alice!, clara!);
    const strange = await stage.room(bobby!, clara!);
    const a = await stage.client(alice!);
    for (const room of [recent, old, recent]) await a.say(room, `to ${room}`);
    const message = (room: number) => ({
      id: expect.any(Number),
      room_id: room,
      message: `to ${room}`,
      sender_id: alice!.id,
      created_at: time,
    });
    const item = { apartment_id: null, created_at: time };
    const { body } = await stage.call("GET", "/chat/rooms", { as: alice! });
    expect(body).toEqual([
      {
        ...item,
        room_id: recent,
        participants_id: ids(bobby!, alice!, clara!),
        is_owner: false,
        last_message: message(recent),
      },
      { ...item, room_id: old, participants_id: ids(alice!, bobby!), is_owner: true, last_message: message(old) },
      { ...item, room_id: quiet, participants_id: ids(alice!, clara!), is_owner: true, last_message: null },
    ]);
    expect((await list(alice!)).map(({ room_id }) => room_id)).not.toContain(strange);
  });

  test("C-3.5 C-3.19 C-11.2 the details of a room: bare, with every key, without messages an empty list", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const bare = {
      room_id: room,
      apartment_id: null,
      created_at: time,
      owner_id: alice!.id,
      participants_id: ids(alice!, bobby!),
    };
    expect(await details(bobby!, room)).toEqual({ ...bare, messages: [] } as never);
    await (await stage.client(bobby!)).say(room, "first");
    const message = { id: expect.any(Number), room_id: room, message: "first", sender_id: bobby!.id, created_at: time };
    expect(await details(alice!, room)).toEqual({ ...bare, messages: [message] } as never);
  });

  test("C-3.20 a new message moves its room to the top, a new room stands there before it has any", async () => {
    const [alice, bobby] = await stage.people(2);
    const a = await stage.client(alice!);
    const order = async () => (await list(bobby!)).map(({ room_id }) => room_id);
    const first = await stage.room(alice!, bobby!);
    await a.say(first, "one");
    const second = await stage.room(bobby!, alice!, await stage.person());
    expect(await order()).toEqual([second, first]);
    await a.say(first, "two");
    expect(await order()).toEqual([first, second]);
  });

  test.if(sharesDatabase)(
    "C-1.2 the envelope on /rooms, a bare array on /chat/rooms, or one form on both",
    async () => {
      const alice = await stage.person();
      await stage.room(alice);
      const bare = [expect.objectContaining({ is_owner: true })];
      const shapes = async (at: Stage) => [
        (await at.call("GET", "/rooms", { as: alice })).body,
        (await at.call("GET", "/chat/rooms", { as: alice })).body,
      ];
      expect(await shapes(stage)).toEqual([enveloped(bare), bare]);
      const envelope = await stages.start({ env: { CHAT_LIST_SHAPE: "envelope" } });
      expect(await shapes(envelope)).toEqual([enveloped(bare), enveloped(bare)]);
      const array = await stages.start({ env: { CHAT_LIST_SHAPE: "array" } });
      expect(await shapes(array)).toEqual([bare, bare]);
    },
  );

  test("C-3.12 a room of others is not found, the same as none", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!);
    for (const id of [room, room + 1_000_000, 2 ** 53 - 1]) {
      const answers = [
        await stage.call("GET", `/rooms/${id}`, { as: bobby! }),
        await stage.call("DELETE", `/rooms/${id}`, { as: bobby! }),
        await change(bobby!, { room_id: id, users_to_add: [bobby!.id] }),
      ];
      for (const { status, body } of answers) expect([id, status, body]).toEqual([id, 404, failed("room not found")]);
    }
  });

  test("C-3.21 C-3.22 the whole history, oldest first, and pages of it", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const a = await stage.client(alice!);
    for (let i = 0; i < 60; i++) a.send(room, String(i));
    await a.say(room, "60");
    const all = (await details(bobby!, room)).messages;
    expect(all.map(({ message }) => message)).toEqual(Array.from({ length: 61 }, (_, i) => String(i)));
    expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toSorted((x, y) => x - y));
    const id = (index: number) => all[index]!.id;
    const page = async (query: string) => {
      const { status, body } = await stage.call("GET", `/rooms/${room}?${query}`, { as: bobby! });
      const { messages, has_more } = body as { messages: { message: string }[]; has_more: boolean };
      const texts = messages.map(({ message }) => Number(message));
      return [status, texts[0] ?? null, texts.at(-1) ?? null, texts.length, has_more];
    };
    expect(await page("limit=10")).toEqual([200, 51, 60, 10, true]);
    expect(await page("limit=200")).toEqual([200, 0, 60, 61, false]);
    expect(await page(`before=${id(60)}`)).toEqual([200, 10, 59, 50, true]);
    expect(await page(`before=${id(5)}&limit=5`)).toEqual([200, 0, 4, 5, false]);
    expect(await page(`after=${id(5)}&limit=5`)).toEqual([200, 6, 10, 5, true]);
    expect(await page(`after=${id(5)}`)).toEqual([200, 6, 55, 50, true]);
    expect(await page("after=0&limit=1")).toEqual([200, 0, 0, 1, true]);
    expect(await page(`after=${id(5)}&before=${id(20)}&limit=5`)).toEqual([200, 15, 19, 5, true]);
    expect(await page(`after=${id(60)}`)).toEqual([200, null, null, 0, false]);
    expect((await stage.call("GET", `/rooms/${room}`, { as: bobby! })).body).not.toHaveProperty("has_more");
  });
});

describe("section 3: changing rooms", () => {
  test("C-3.3 C-3.17 C-3.24 adding and removing, in order of joining; what is so already is no fault", async () => {
    const [alice, bobby, clara, dora] = await stage.people(4);
    const room = await stage.room(alice!, bobby!);
    const first = await change(alice!, { room_id: room, users_to_add: ids(clara!, bobby!, dora!) });
    expect([first.status, first.body]).toEqual([200, enveloped(null)]);
    expect((await details(dora!, room)).participants_id).toEqual(ids(alice!, bobby!, clara!, dora!));
    await change(alice!, { room_id: room, users_to_remove: [bobby!.id.toUpperCase(), randomUUID()] });
    expect((await details(dora!, room)).participants_id).toEqual(ids(alice!, clara!, dora!));
    await change(alice!, { room_id: room, users_to_add: [bobby!.id], users_to_remove: [clara!.id] });
    expect((await details(dora!, room)).participants_id).toEqual(ids(alice!, dora!, bobby!));
    expect((await change(alice!, { room_id: room })).status).toBe(200);
  });

  test("C-3.23 only the owner, but anybody may leave", async () => {
    const [alice, bobby, clara] = await stage.people(3);
    const room = await stage.room(alice!, bobby!, clara!);
    for (const body of [
      { users_to_add: [randomUUID()] },
      { users_to_remove: [clara!.id] },
      { users_to_remove: ids(bobby!, clara!) },
      { users_to_add: [randomUUID()], users_to_remove: [bobby!.id] },
      {},
    ]) {
      const answer = await change(bobby!, { room_id: room, ...body });
      expect([answer.status, answer.body]).toEqual([409, failed("only the owner can change this room")]);
    }
    const foreign = await stage.call("DELETE", `/rooms/${room}`, { as: bobby! });
    expect([foreign.status, foreign.body]).toEqual([409, failed("only the owner can change this room")]);
    expect((await change(bobby!, { room_id: room, users_to_remove: [bobby!.id] })).status).toBe(200);
    expect((await details(alice!, room)).participants_id).toEqual(ids(alice!, clara!));
  });

  test("C-3.24 all or nothing", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const strangers = Array.from({ length: 300 }, () => randomUUID());
    const rows: [body: object, status: number, error: string][] = [
      [{ room_id: room, users_to_add: [bobby!.id], users_to_remove: [bobby!.id] }, 400, "users_to_remove is not valid"],
      [{ room_id: room, users_to_add: strangers, users_to_remove: [bobby!.id] }, 409, "too many participants"],
      [{ room_id: room, users_to_add: ["x"], users_to_remove: [bobby!.id] }, 400, "users_to_add is not valid"],
      [{ room_id: room, users_to_remove: [bobby!.id, null] }, 400, "users_to_remove is not valid"],
      [{ room_id: room, users_to_remove: null }, 400, "users_to_remove is not valid"],
      [{ room_id: String(room), users_to_remove: [bobby!.id] }, 400, "room_id is not valid"],
      [{ room_id: 0 }, 400, "room_id is not valid"],
      [{ users_to_remove: [bobby!.id] }, 400, "room_id is not valid"],
    ];
    for (const [body, status, error] of rows) {
      const answer = await change(alice!, body);
      expect([body, answer.status, answer.body]).toEqual([body, status, failed(error)]);
    }
    expect((await details(alice!, room)).participants_id).toEqual(ids(alice!, bobby!));
  });

  test("C-3.25 the longest-standing participant inherits the room; with the last one it goes", async () => {
    const [alice, bobby, clara] = await stage.people(3);
    const room = await stage.room(alice!, bobby!, clara!);
    await (await stage.client(clara!)).say(room, "still here");
    await change(alice!, { room_id: room, users_to_remove: [alice!.id] });
    expect((await details(clara!, room)).owner_id).toBe(bobby!.id);
    await change(bobby!, { room_id: room, users_to_remove: [bobby!.id] });
    expect((await details(clara!, room)).owner_id).toBe(clara!.id);
    await change(clara!, { room_id: room, users_to_remove: [clara!.id] });
    expect((await stage.call("GET", `/rooms/${room}`, { as: clara! })).status).toBe(404);
    expect(await list(clara!)).toEqual([]);
  });

  test("C-3.26 an added user sees the whole history, a removed one nothing", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!);
    await (await stage.client(alice!)).say(room, "before");
    await change(alice!, { room_id: room, users_to_add: [bobby!.id] });
    expect(await stage.texts(bobby!, room)).toEqual(["before"]);
    await change(alice!, { room_id: room, users_to_remove: [bobby!.id] });
    expect((await stage.call("GET", `/rooms/${room}`, { as: bobby! })).status).toBe(404);
  });

  test("C-3.4 C-3.27 a deleted room is gone with all that was in it, and only once", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    await (await stage.client(bobby!)).say(room, "bye");
    const answer = await stage.call("DELETE", `/rooms/${room}`, { as: alice! });
    expect([answer.status, answer.body]).toEqual([200, enveloped(null)]);
    expect((await stage.call("DELETE", `/rooms/${room}`, { as: alice! })).status).toBe(404);
    expect(await list(bobby!)).toEqual([]);
    expect(await stage.room(alice!, bobby!)).not.toBe(room);
    const { reason } = await (await stage.client(alice!)).say(room, "anyone?");
    expect(reason).toBe("not a participant of this room");
  });
});

test.if(sharesDatabase)("C-3.11 a call that takes eight seconds is answered 503", async () => {
  const timed = await stages.startTimed();
  const alice = await timed.person();
  const sql = postgres((await stages.databaseUrl()) as string, { max: 2 });
  let isAnswered = false;
  const answer = await sql.begin(async (tx) => {
    await tx`lock table chat.rooms in access exclusive mode`;
    const called = timed.call("GET", "/rooms", { as: alice }).finally(() => {
      isAnswered = true;
    });
    const waiting = () => sql`select from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database()`;
    while ((await waiting()).length === 0) await Bun.sleep(5);
    await timed.pass(7_000);
    expect(isAnswered).toBe(false);
    await timed.pass(1_000);
    const given = await called;
    // It was not the store that gave up.
    expect((await waiting()).length).toBe(1);
    return given;
  });
  expect([answer.status, answer.body]).toEqual([503, failed("service unavailable")]);
  await sql.end();
});

test("C-3.28 a user's calls have a rate", async () => {
  const strict = await stages.startTimed({ CHAT_REST_RATE: "1", CHAT_REST_BURST: "3" });
  const [alice, bobby] = await strict.people(2);
  const calls = await Promise.all(Array.from({ length: 5 }, () => strict.call("GET", "/rooms", { as: alice! })));
  const refused = calls.filter(({ status }) => status === 429);
  expect(refused.length).toBe(2);
  expect(refused[0]!.body).toEqual(failed("rate limit exceeded"));
  expect(refused[0]!.headers.get("retry-after")).toBe("1");
  expect((await strict.call("GET", "/rooms", { as: bobby! })).status).toBe(200);
  strict.clock.advance(1_000);
  const later = [
    await strict.call("GET", "/rooms", { as: alice! }),
    await strict.call("GET", "/rooms", { as: alice! }),
  ];
  expect(later.map(({ status }) => status)).toEqual([200, 429]);
});
