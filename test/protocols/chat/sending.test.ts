import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { confirmed, ends, received, refused } from "./client.ts";
import { outcome, type Stage, Stages, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

describe("section 4: sending", () => {
  test("C-4.7 C-5.4 a message is confirmed to its sender once and received by the others once", async () => {
    const [alice, bobby, clara] = await stage.people(3);
    const room = await stage.room(alice!, bobby!, clara!);
    const [a, b, c] = [await stage.client(alice!), await stage.client(bobby!), await stage.client(clara!)];
    const id = a.send(room, "Hello");
    expect(await a.next()).toEqual(confirmed(id));
    expect(await b.next()).toEqual(received(room, alice!.id, "Hello"));
    expect(await c.next()).toEqual(received(room, alice!.id, "Hello"));
    const answer = b.send(room, "Hi");
    expect(await a.next()).toEqual(received(room, bobby!.id, "Hi"));
    expect(await b.next()).toEqual(confirmed(answer));
    expect(await stage.texts(clara!, room)).toEqual(["Hello", "Hi"]);
    for (const client of [a, b]) expect(client.rest()).toEqual([]);
  });

  test("C-4.1 C-5.1 C-5.3 more keys than needed do no harm, and answers have exactly theirs", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    const data = { room_id: room, message: "Hi", message_temp_id: "temp-more", sender_id: bobby!.id, id: 7, x: [{}] };
    a.raw(JSON.stringify({ id: 1, type: "SendMessage", data, version: 2 }));
    expect(await a.next()).toStrictEqual(confirmed("temp-more"));
    // As in all the tests, `received` has the room's number as a number.
    expect(await b.next()).toStrictEqual(received(room, alice!.id, "Hi"));
    expect(await stage.texts(bobby!, room)).toEqual(["Hi"]);
  });

  test("C-4.2 an open socket gets the messages of all rooms of its user, those made later included", async () => {
    const [alice, bobby, clara] = await stage.people(3);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    const rooms = [await stage.room(alice!, bobby!), await stage.room(bobby!, alice!, clara!)];
    for (const room of rooms) await a.say(room, `in ${room}`);
    for (const room of rooms) expect(await b.next()).toEqual(received(room, alice!.id, `in ${room}`));
  });

  test("C-5.5 whoever is connected gets it once, without any wait of ours; who is not finds it in the history", async () => {
    // A clock that stands still: what waited for it would never come.
    const timed = await stages.startTimed({ CHAT_SINGLE_DEVICE: "off", CHAT_SEND_BURST: "100" });
    const [alice, bobby, clara, david] = await timed.people(4);
    const room = await timed.room(alice!, bobby!, clara!, david!);
    const a = await timed.client(alice!);
    const readers = [await timed.client(bobby!), await timed.client(bobby!), await timed.client(clara!)];
    const texts = Array.from({ length: 50 }, (_, i) => String(i));
    for (const text of texts) {
      expect((await a.say(room, text)).confirmed).toBe(true);
      for (const reader of readers) expect(await reader.next()).toEqual(received(room, alice!.id, text));
    }
    for (const reader of readers) {
      await reader.settle();
      expect(reader.frames.filter(({ type }) => type === "MessageReceived").length).toBe(texts.length);
    }
    expect(await timed.texts(david!, room)).toEqual(texts);
  });

  test("C-4.9 a repeat is confirmed again, neither stored nor delivered twice", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    const id = a.send(room, "once");
    a.send(room, "once", id);
    expect([await a.next(), await a.next()]).toEqual([confirmed(id), confirmed(id)]);
    const again = await stage.client(alice!);
    again.send(room, "once", id);
    expect(await again.next()).toEqual(confirmed(id));
    await again.say(room, "last");
    expect([await b.next(), await b.next()]).toEqual([
      received(room, alice!.id, "once"),
      received(room, alice!.id, "last"),
    ]);
    expect(await stage.texts(bobby!, room)).toEqual(["once", "last"]);
  });

  test("C-4.10 a repeat with another text is refused, the socket stays", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const a = await stage.client(alice!);
    const id = a.send(room, "one");
    a.send(room, "two", id);
    expect([await a.next(), await a.next()]).toEqual([confirmed(id), refused(id, "message_temp_id was already used")]);
    expect((await a.say(room, "three")).confirmed).toBe(true);
  });

  test("C-4.11 a strange room and one that does not exist are refused in the same way, then 4012", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!);
    for (const strange of [room, room + 1_000_000]) {
      const b = await stage.client(bobby!);
      const id = b.send(strange, "let me in");
      expect(await b.next()).toEqual(refused(id, "not a participant of this room"));
      expect(await outcome(b)).toEqual(told(ends.unauthorized));
    }
    expect(await stage.texts(alice!, room)).toEqual([]);
  });

  test("C-4.3 C-5.7 one socket's sends are handled one after the other, confirmed and delivered in order", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    const sent = Array.from({ length: 150 }, (_, i) => a.send(room, String(i)));
    for (const id of sent) expect(await a.next()).toEqual(confirmed(id));
    for (let i = 0; i < 150; i++) expect(await b.next()).toEqual(received(room, alice!.id, String(i)));
    expect(await stage.texts(alice!, room)).toEqual(Array.from({ length: 150 }, (_, i) => String(i)));
  });

  test("C-4.4 more frames than may wait are read later, and none is lost", async () => {
    const narrow = await stages.start({ env: { CHAT_QUEUE_MAX: "2" } });
    const alice = await narrow.person();
    const room = await narrow.room(alice);
    const a = await narrow.client(alice);
    const sent = Array.from({ length: 100 }, (_, i) => a.send(room, String(i)));
    for (const id of sent) expect(await a.next()).toEqual(confirmed(id));
  });

  test("C-4.8 what is refused is never stored nor delivered, C-4.5 and a name that was refused may be used", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    expect((await a.say(room, " ", "temp-again")).confirmed).toBe(false);
    expect((await a.say(room, "now", "temp-again")).confirmed).toBe(true);
    expect(await b.next()).toEqual(received(room, alice!.id, "now"));
    expect(await stage.texts(bobby!, room)).toEqual(["now"]);
  });

  test("C-4.9 the key is sender, room and temp id: another sender or room may use the same id", async () => {
    const [alice, bobby] = await stage.people(2);
    const [room, other] = [await stage.room(alice!, bobby!), await stage.room(alice!)];
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    for (const [client, where] of [
      [a, room],
      [b, room],
      [a, other],
    ] as const) {
      expect((await client.say(where, `${where}`, "temp-shared")).confirmed).toBe(true);
    }
    expect((await stage.texts(alice!, room)).length).toBe(2);
  });

  test("C-4.9 C-4.5 a repeat is confirmed although its sender has left the room or the text would be refused now", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const b = await stage.client(bobby!);
    expect((await b.say(room, "I was here", "temp-left")).confirmed).toBe(true);
    await stage.call("PUT", "/rooms", { as: alice!, body: { room_id: room, users_to_remove: [bobby!.id] } });
    expect((await b.say(room, "I was here", "temp-left")).confirmed).toBe(true);
    expect((await b.say(room, "I was there", "temp-left")).reason).toBe("message_temp_id was already used");
    expect((await b.say(room, "let me in")).reason).toBe("not a participant of this room");
  });

  test("C-4.11 CHAT_UNAUTHORIZED_STRIKES lets some strange sends pass before the end", async () => {
    const patient = await stages.start({ env: { CHAT_UNAUTHORIZED_STRIKES: "3" } });
    const a = await patient.client(await patient.person());
    for (let i = 0; i < 3; i++) expect((await a.say(0, "?")).reason).toBe("not a participant of this room");
    expect(await outcome(a)).toEqual(told(ends.unauthorized));
  });

  test("C-4.12 a text of exactly the limit passes, counted in characters", async () => {
    const alice = await stage.person();
    const room = await stage.room(alice);
    const a = await stage.client(alice);
    for (const text of ["x".repeat(2_000), "\u{1F600}".repeat(2_000)]) {
      expect((await a.say(room, text)).confirmed).toBe(true);
    }
  });

  test("C-4.13 texts come through unchanged; a lone surrogate becomes U+FFFD", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    const texts = [
      "  blanks around  ",
      "line\nfeed\ttab\u0001",
      `quotes " ' \\ {"json":[1,2]} NULL $1 ; --`,
      "\u00e9 e\u0301 \u{1F469}\u200D\u{1F680} \u05e9\u05dc\u05d5\u05dd \uFEFF",
    ];
    for (const text of texts) {
      expect((await a.say(room, text)).confirmed).toBe(true);
      expect(await b.next()).toEqual(received(room, alice!.id, text));
    }
    const broken = `{"type":"SendMessage","data":{"room_id":${room},"message":"\\ud800 alone","message_temp_id":"temp-x"}}`;
    for (let i = 0; i < 2; i++) {
      a.raw(broken);
      expect(await a.next()).toEqual(confirmed("temp-x"));
    }
    expect(await b.next()).toEqual(received(room, alice!.id, "\uFFFD alone"));
    expect(await stage.texts(bobby!, room)).toEqual([...texts, "\uFFFD alone"]);
  });

  test("C-5.2 a temp id is returned as it was received, whatever it is made of", async () => {
    const alice = await stage.person();
    const room = await stage.room(alice);
    const a = await stage.client(alice);
    const ids = ["a\0b", "a\\u0000b", '"', "\\", "\u{1F600}".repeat(128), " ", "NULL", "{}", "\ud83d"];
    for (const id of ids) {
      a.raw(JSON.stringify({ type: "SendMessage", data: { room_id: room, message: id || "x", message_temp_id: id } }));
    }
    const reasons: unknown[] = [];
    for (const id of ids) {
      const { data } = await a.next();
      expect(data.message_id).toBe(id);
      reasons.push(data.reason);
    }
    // Two of the texts have other faults of their own.
    expect(reasons).toEqual(["message cannot be stored", "", "", "", "", "message is empty", "", "", ""]);
  });

  test("C-4.14 a send over the rate is refused, C-3.28 and the bucket fills again", async () => {
    const timed = await stages.startTimed({ CHAT_SEND_RATE: "1", CHAT_SEND_BURST: "3", CHAT_RATE_STRIKES: "3" });
    const [alice, bobby] = await timed.people(2);
    const room = await timed.room(alice!, bobby!);
    const [a, b] = [await timed.client(alice!), await timed.client(bobby!)];
    const reason = async (client = a) => (await client.say(room, "x")).reason;
    expect([await reason(), await reason(), await reason(), await reason()]).toEqual([
      "",
      "",
      "",
      "rate limit exceeded",
    ]);
    expect(await reason(b)).toBe("");
    timed.clock.advance(1_000);
    expect([await reason(), await reason()]).toEqual(["", "rate limit exceeded"]);
    expect(await reason()).toBe("rate limit exceeded");
    expect(await outcome(a)).toEqual(told(ends.unauthorized));
    // The bucket is the user's and not the socket's; strikes are forgotten after a minute.
    timed.clock.advance(60_000);
    const again = await timed.client(alice!);
    for (let i = 0; i < 3; i++) expect(await reason(again)).toBe("");
    expect(await reason(again)).toBe("rate limit exceeded");
    expect(again.isClosed).toBe(false);
  });

  test("C-5.6 C-3.26 a message goes to those who are in the room when it is stored", async () => {
    const [alice, bobby, clara] = await stage.people(3);
    const room = await stage.room(alice!, bobby!);
    const [a, b, c] = [await stage.client(alice!), await stage.client(bobby!), await stage.client(clara!)];
    await a.say(room, "one");
    await stage.call("PUT", "/rooms", { as: alice!, body: { room_id: room, users_to_add: [clara!.id] } });
    await a.say(room, "two");
    await stage.call("PUT", "/rooms", { as: alice!, body: { room_id: room, users_to_remove: [bobby!.id] } });
    await a.say(room, "three");
    const end = await stage.room(bobby!, clara!, alice!);
    await a.say(end, "end");
    const texts = async (client: typeof b) => {
      const seen: unknown[] = [];
      for (let text: unknown = ""; text !== "end"; seen.push(text)) text = (await client.next()).data.message;
      return seen;
    };
    expect(await texts(b)).toEqual(["one", "two", "end"]);
    expect(await texts(c)).toEqual(["two", "three", "end"]);
  });

  test("C-6.9 C-6.8 sends are counted by result, and neither people nor rooms nor texts are in the metrics", async () => {
    const own = await stages.start();
    const [alice, bobby] = await own.people(2);
    const room = await own.room(alice!, bobby!);
    const [a, b] = [await own.client(alice!), await own.client(bobby!)];
    await a.say(room, "a private text", "temp-private");
    await a.say(room, "a private text", "temp-private");
    await b.next();
    await a.say(room, " ");
    await a.say(0, "?");
    await a.closed;
    const text = await (await fetch(`${own.gateway.internalUrl}/metrics`)).text();
    const ours = text.split("\n").filter((line) => line.includes('protocol="chat"'));
    for (const line of [
      'patchbay_chat_sends_total{protocol="chat",result="stored"} 1',
      'patchbay_chat_sends_total{protocol="chat",result="repeated"} 1',
      'patchbay_chat_sends_total{protocol="chat",result="empty"} 1',
      'patchbay_chat_sends_total{protocol="chat",result="stranger"} 1',
      'patchbay_chat_deliveries_total{protocol="chat"} 1',
    ]) {
      expect(ours).toContain(line);
    }
    expect(ours.some((line) => /rawsocket_closes_total\{.*code="4012"/.test(line))).toBe(true);
    for (const secret of [alice!.id, bobby!.id, "private", alice!.token, "not a participant"]) {
      expect(text).not.toContain(secret);
    }
  });
});
