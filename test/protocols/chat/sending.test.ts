import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { confirmed, ends, received, refused } from "./client.ts";
import { outcome, type Stage, Stages, told } from "./stage.ts";

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
});
