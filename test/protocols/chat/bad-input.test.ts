import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { CLOSE, frameBytes, TEXT, WireClient } from "../../support/wire.ts";
import { type Client, confirmed, disconnection, ends, received, refused } from "./client.ts";
import { enveloped, failed, outcome, type Person, type Stage, Stages, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
/** A room with somebody who watches it, and a third socket that must notice nothing. */
let room: number;
let offender: Person;
let watcher: Client;
let witness: Client;

beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

/** Sets the scene for one test. */
async function scene(): Promise<void> {
  const [alice, bobby, clara] = await stage.people(3);
  offender = alice!;
  room = await stage.room(alice!, bobby!);
  watcher = await stage.client(bobby!);
  witness = await stage.client(clara!);
}

afterEach(async () => {
  // Nothing was stored or delivered but what comes now, and the others are untouched.
  const a = await stage.client(offender);
  const id = a.send(room, "after all");
  expect(await a.next()).toEqual(confirmed(id));
  expect(await watcher.next()).toEqual(received(room, offender.id, "after all"));
  expect(watcher.rest()).toEqual([]);
  expect((await stage.texts(offender, room)).at(-1)).toBe("after all");
  expect(witness.rest()).toEqual([]);
  expect(witness.isClosed).toBe(false);
  stage.leave();
});

const message = (data: object) => JSON.stringify({ type: "SendMessage", data });
const good = () => ({ room_id: room, message: "bad company", message_temp_id: "temp-1" });

/** Sends one frame from a fresh socket; what came of it. */
async function after(frame: string) {
  const client = await stage.client(offender);
  client.raw(frame);
  return await outcome(client);
}

/** The texts that are in the room. */
const texts = () => stage.texts(offender, room);

const BAD = told(ends.badFrame);
/** A frame that names its message is confirmed as refused before the end. */
const NAMED = { ...BAD, frames: [refused("temp-1", "bad message structure"), ...BAD.frames] };

describe("section 8", () => {
  test("C-8.1 no JSON object: 4010", async () => {
    await scene();
    const object = message(good());
    for (const frame of [
      "",
      "x",
      "{",
      `${object}${object}`,
      `${object}\n${object}`,
      "[]",
      '"text"',
      "7",
      "null",
      "[1]",
    ]) {
      expect([frame, await after(frame)]).toEqual([frame, BAD]);
    }
    expect(await texts()).toEqual([]);
  });

  test("C-8.2 a missing, unknown or wrong type: 4010", async () => {
    await scene();
    for (const type of [undefined, "sendMessage", "Unknown", "", 7, null, {}, ["SendMessage"], "constructor"]) {
      expect([type, await after(JSON.stringify({ type, data: good() }))]).toEqual([type, NAMED]);
      expect([type, await after(JSON.stringify({ type }))]).toEqual([type, BAD]);
    }
    expect(await texts()).toEqual([]);
  });

  test("C-8.3 data that is no object: 4010", async () => {
    await scene();
    for (const data of [undefined, null, [], [good()], "text", JSON.stringify(good()), 7, true]) {
      expect([data, await after(JSON.stringify({ type: "SendMessage", data }))]).toEqual([data, BAD]);
      expect([data, await after(JSON.stringify({ type: "RefreshToken", data }))]).toEqual([data, BAD]);
    }
    expect(await after(JSON.stringify({ type: "RefreshToken", data: { token: 7 } }))).toEqual(BAD);
    expect(await texts()).toEqual([]);
  });

  test("C-8.4 a room_id that is no whole number: 4010", async () => {
    await scene();
    for (const id of [`"${room}"`, "1.5", "null", "1e400", "-1e400", "true", "[1]", "{}", "9007199254740992"]) {
      const frame = `{"type":"SendMessage","data":{"room_id":${id},"message":"x","message_temp_id":"temp-1"}}`;
      expect([id, await after(frame)]).toEqual([id, NAMED]);
    }
    const { room_id: _, ...absent } = good();
    expect(await after(message(absent))).toEqual(NAMED);
    expect(await texts()).toEqual([]);
  });

  test("C-8.5 a room_id of no room of the user: as C-4.11", async () => {
    await scene();
    for (const room_id of [0, -1, -0, room + 1_000_000, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
      const { frames, end } = await after(message({ ...good(), room_id }));
      expect([room_id, frames]).toEqual([
        room_id,
        [refused("temp-1", "not a participant of this room"), ...told(ends.unauthorized).frames],
      ]);
      expect(end).toEqual(ends.unauthorized);
    }
  });

  test("C-8.6 a message that is no text, a temp id that is none: 4010", async () => {
    await scene();
    for (const text of [undefined, null, 7, {}, ["x"], true]) {
      expect([text, await after(message({ ...good(), message: text }))]).toEqual([text, NAMED]);
    }
    for (const id of [undefined, null, "", 7, {}, "x".repeat(129), "\u{1F600}".repeat(129)]) {
      expect([id, await after(message({ ...good(), message_temp_id: id }))]).toEqual([id, BAD]);
    }
    expect(await texts()).toEqual([]);
  });

  test("C-8.7 a text that breaks a rule: as C-4.12, and the socket stays", async () => {
    await scene();
    const client = await stage.client(offender);
    const rows: [text: string, reason: string][] = [
      ["", "message is empty"],
      [" \t\r\n\u00a0\u2003", "message is empty"],
      ["x".repeat(2_001), "message is too long"],
      ["\u{1F600}".repeat(2_001), "message is too long"],
      ["nul\0", "message cannot be stored"],
    ];
    for (const [text, reason] of rows) {
      const id = client.send(room, text);
      expect(await client.next()).toEqual(refused(id, reason));
    }
    expect(client.isClosed).toBe(false);
    expect(await texts()).toEqual([]);
  });

  test("C-8.8 a binary frame: 4010", async () => {
    await scene();
    const client = await stage.client(offender);
    client.socket.send(new TextEncoder().encode(message(good())));
    expect(await outcome(client)).toEqual(BAD);
    expect(await texts()).toEqual([]);
  });

  test("C-8.9 a frame over the limit: 4010; over the gateway's: 1009", async () => {
    await scene();
    expect(await after(message({ ...good(), padding: "x".repeat(65_536) }))).toEqual(BAD);
    const client = await stage.client(offender);
    client.raw("x".repeat(17 * 1024 * 1024));
    // Bun cuts the connection without waiting for the rest, so its own close frame may not be seen.
    expect([1006, 1009]).toContain((await client.closed).code);
    expect(await texts()).toEqual([]);
  });

  test("C-8.10 invalid UTF-8: 1007; broken framing: 1002", async () => {
    await scene();
    const url = `${stage.url}/chat/ws?token=${offender.token}`;
    for (const [bytes, code] of [
      [frameBytes(TEXT, new Uint8Array([0x22, 0xff, 0xfe, 0x22])), 1007],
      [frameBytes(TEXT, message(good()), { masked: false }), 1002],
      [frameBytes(TEXT, message(good()), { reserved: 4 }), 1002],
      [frameBytes(3, message(good())), 1002],
    ] as const) {
      const client = await WireClient.open(url, { polite: true });
      client.write(bytes);
      const last = (await client.rest()).at(-1);
      expect([1006, code]).toContain(last?.code ?? 1006);
    }
    expect(await texts()).toEqual([]);
  });

  test("C-8.11 deep JSON and inherited names change nothing", async () => {
    await scene();
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    const polluted = `{"type":"SendMessage","data":{"__proto__":{"room_id":${room}},"message":"x","message_temp_id":"temp-1"}}`;
    expect(await after(polluted)).toEqual(NAMED);
    expect(await after('{"__proto__":{"type":"SendMessage"},"constructor":{"prototype":{"x":1}}}')).toEqual(BAD);
    const { end } = await after(deep);
    expect(end).toEqual(ends.badFrame);
    expect(({} as Record<string, unknown>).room_id).toBeUndefined();
    const client = await stage.client(offender);
    const id = "temp-extra";
    client.raw(
      `{"type":"SendMessage","extra":${"[".repeat(500)}${"]".repeat(500)},"data":{"room_id":${room},"message":"fine","message_temp_id":"${id}","__proto__":{"message":"evil"},"constructor":1}}`,
    );
    expect(await client.next()).toEqual(confirmed(id));
    expect(await watcher.next()).toEqual(received(room, offender.id, "fine"));
    expect(await texts()).toEqual(["fine"]);
  });

  test("C-8.12 frames after the Disconnection are ignored", async () => {
    await scene();
    const client = await WireClient.open(`${stage.url}/chat/ws?token=${offender.token}`);
    client.send("not json", message(good()), message({ ...good(), message_temp_id: "temp-2" }));
    expect(await client.next()).toMatchObject({ text: JSON.stringify(disconnection(4010, ends.badFrame.reason)) });
    expect(await client.next()).toMatchObject({ opcode: CLOSE, code: 4010, text: ends.badFrame.reason });
    client.send(message({ ...good(), message_temp_id: "temp-3" }));
    client.destroy();
    expect(await texts()).toEqual([]);
  });

  test("C-8.13 thousands of tiny fragments are one frame, and its size counts", async () => {
    await scene();
    const url = `${stage.url}/chat/ws?token=${offender.token}`;
    const client = await WireClient.open(url);
    const parts = [...Buffer.from("x".repeat(70_000))].map((byte, at) =>
      frameBytes(at === 0 ? TEXT : 0, Buffer.from([byte]), { fin: at === 69_999 }),
    );
    await client.write(Buffer.concat(parts));
    expect(await client.next()).toMatchObject({ text: JSON.stringify(disconnection(4010, ends.badFrame.reason)) });
    client.destroy();
    expect(await texts()).toEqual([]);
  });

  test("C-8.13 a reader that never reads is ended with 4009 and holds up nobody", async () => {
    await scene();
    const env = { CHAT_SEND_BUFFER_BYTES: "65536", CHAT_SEND_BURST: "1000000", CHAT_MAX_MESSAGE_CHARS: "30000" };
    const large = await stages.startTimed(env);
    const [alice, bobby, clara] = await large.people(3);
    const shared = await large.room(alice!, bobby!, clara!);
    const [a, b] = [await large.client(alice!), await large.client(bobby!)];
    const sloth = await WireClient.open(`${large.url}/chat/ws?token=${clara!.token}`);
    sloth.pause();
    const text = "x".repeat(30_000);
    let sent = 0;
    // More than the system's own buffers hold.
    for (let ended = 0; ended === 0; ) {
      expect((await a.say(shared, text)).confirmed).toBe(true);
      sent++;
      const metrics = await (await fetch(`${large.gateway.internalUrl}/metrics`)).text();
      ended = Number(/rawsocket_slow_readers_total\{[^}]*\} (\d+)/.exec(metrics)?.[1]);
    }
    for (let i = 0; i < sent; i++) expect(await b.next()).toEqual(received(shared, alice!.id, text));
    sloth.resume();
    const frames = await sloth.rest();
    expect(frames.at(-1)).toMatchObject({ opcode: CLOSE, code: 4009, text: ends.lost.reason });
    expect(frames.at(-2)).toMatchObject({ text: JSON.stringify(disconnection(4009, ends.lost.reason)) });
    sloth.destroy();
  });

  test("C-8.14 an upgrade without a key: 400; with another version: 426", async () => {
    await scene();
    const url = `${stage.url}/chat/ws?token=${offender.token}`;
    const keyless = await WireClient.open(url, { headers: { "Sec-WebSocket-Key": null } });
    expect(keyless.status).toBe(400);
    const old = await WireClient.open(url, { headers: { "Sec-WebSocket-Version": "8" } });
    expect([old.status, old.header("sec-websocket-version")]).toEqual([426, "13"]);
    for (const client of [keyless, old]) client.destroy();
  });

  test("C-8.15 C-8.16 REST: ids and pages that are none", async () => {
    await scene();
    for (const id of ["abc", "0", "-1", "1.5", "1e3", "%20", "99999999999999999999"]) {
      for (const method of ["GET", "DELETE"]) {
        const { status, body } = await stage.call(method, `/rooms/${id}`, { as: offender });
        expect([id, status, body]).toEqual([id, 400, failed("id is not valid")]);
      }
    }
    for (const [field, values] of [
      ["limit", ["0", "-1", "201", "abc", "", "1.5", "99999999999999999999"]],
      ["before", ["-1", "abc", "", "1e3", "99999999999999999999"]],
      ["after", ["-1", "abc", "", "0x10", "99999999999999999999"]],
    ] as const) {
      for (const value of values) {
        const { status, body } = await stage.call("GET", `/rooms/${room}?${field}=${value}`, { as: offender });
        expect([field, value, status, body]).toEqual([field, value, 400, failed(`${field} is not valid`)]);
      }
    }
    expect((await stage.call("PUT", "/rooms", { as: offender, body: "{" })).body).toEqual(
      failed("request body is not valid JSON"),
    );
    expect((await stage.call("GET", "/rooms", { as: offender })).body).toEqual(enveloped([expect.anything()]));
  });

  test("a connection that ends in the middle of a frame changes nothing", async () => {
    await scene();
    const client = await WireClient.open(`${stage.url}/chat/ws?token=${offender.token}`);
    await client.write(frameBytes(TEXT, message(good())).subarray(0, 40));
    client.destroy();
    expect(await texts()).toEqual([]);
  });
});
