import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Client, disconnected, joined, moved, NO_ROOM } from "./client.ts";
import { type Person, Stages, type TimedStage } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: TimedStage;
beforeAll(async () => {
  stage = await stages.startTimed({ TRACKER_EVENT_RATE: "100", TRACKER_EVENT_BURST: "100" });
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

const V2 = { auth: { v: 2 } };

describe("T-10.2 a client that asks for more", () => {
  const withMeta = (pin: string, by: Person, lat: number, long: number) => [
    "move",
    {
      details: {
        type: "success",
        msg: { lat, long },
        meta: { room_id: pin, username: by.username, at: new Date(stage.clock.now()).toISOString() },
      },
    },
  ];

  test("gets meta in moves, in which others get nothing more", async () => {
    const pin = await stage.pin();
    const plain = await stage.member(pin);
    const detailed = await stage.member(pin, V2);
    expect(await plain.next()).toEqual(joined(detailed.person, pin));
    plain.move(pin, 1, 2);
    expect(await plain.next()).toEqual(moved(1, 2));
    expect(await detailed.next()).toEqual(withMeta(pin, plain.person, 1, 2) as never);
    detailed.move(pin, 3, 4);
    expect(await plain.next()).toEqual(moved(3, 4));
    expect(await detailed.next()).toEqual(withMeta(pin, detailed.person, 3, 4) as never);
    plain.emit("leave_room", pin);
    expect((await detailed.next())[0]).toBe("room");
    const joiner = await stage.client(V2);
    await joiner.ask("join_room", pin);
    expect(await joiner.next()).toEqual(joined(joiner.person, pin));
    expect(await joiner.next()).toEqual(withMeta(pin, detailed.person, 3, 4) as never);
    joiner.close();
    expect(await detailed.next()).toEqual(joined(joiner.person, pin));
    expect(await detailed.next()).toEqual(disconnected(joiner.person));
  });

  test("gets told in acknowledgements how it went", async () => {
    const pin = await stage.pin();
    const client = await stage.client(V2);
    const refused = (type: string, msg: string) => [{ ok: false, error: { type, msg } }];
    expect(await client.ask("join_room", pin)).toEqual([{ ok: true }]);
    expect(await client.ask("move", { lat: 1, long: 2, roomId: pin })).toEqual([{ ok: true }]);
    expect(await client.ask("leave_room", pin)).toEqual([{ ok: true }]);
    expect(await client.ask("join_room", "000000")).toEqual(refused("no_room", "Room not found or has expired"));
    expect(await client.ask("move", 7)).toEqual(refused("invalid_data", "Invalid data"));
    expect(client.told.filter(([event]) => event === "error")).toHaveLength(2);
  });

  test("gets retry_after when it must wait", async () => {
    const strict = await stages.startTimed({ TRACKER_JOIN_FAILS_USER: "1", TRACKER_JOIN_WINDOW: "50" });
    const client = await strict.client(V2);
    await client.ask("join_room", "000000");
    await client.rest();
    client.emit("join_room", "000000");
    expect(await client.next()).toEqual([
      "error",
      { details: { type: "rate_limit_exceeded", msg: "Rate limit exceeded", retry_after: 50 } },
    ]);
    const flooding = await stage.client(V2);
    for (let i = 0; i < 101; i++) flooding.emit("leave_room", "");
    const payload = (await flooding.until("error")) as { details: { retry_after: number } };
    expect(payload.details.retry_after).toBe(1);
  });
});

describe("T-10.1 the rooms of a lost socket", () => {
  /** Drops a client and waits until the room's other member was told. */
  const lose = async (client: Client, watcher: Client) => {
    await watcher.rest();
    client.drop();
    expect(await watcher.next()).toEqual(disconnected(client.person));
  };

  test("go to the account's next socket, silently", async () => {
    const [pin, left] = [await stage.pin(), await stage.pin()];
    const watcher = await stage.member(pin);
    const viewer = await stage.member(pin);
    await viewer.join(left);
    await viewer.ask("leave_room", left);
    await lose(viewer, watcher);
    const back = await stage.client({ person: viewer.person });
    expect(await back.rest()).toEqual([]);
    expect(await watcher.rest()).toEqual([]);
    watcher.move(pin, 1, 2);
    expect(await back.next()).toEqual(moved(1, 2));
    const third = await stage.client({ person: viewer.person });
    watcher.move(pin, 3, 4);
    expect(await back.next()).toEqual(moved(3, 4));
    // The note was taken once.
    expect(await third.rest()).toEqual([]);
  });

  test("also when the connection was closed below a client that did not leave", async () => {
    const pin = await stage.pin();
    const watcher = await stage.member(pin);
    const viewer = await stage.member(pin);
    await watcher.rest();
    viewer.hangUp();
    expect(await watcher.next()).toEqual(disconnected(viewer.person));
    const back = await stage.client({ person: viewer.person });
    watcher.move(pin, 1, 2);
    expect(await back.next()).toEqual(moved(1, 2));
  });

  test("each lost socket leaves its own note", async () => {
    const [one, two] = [await stage.pin(), await stage.pin()];
    const watcher = await stage.member(one);
    await watcher.join(two);
    const phone = await stage.member(one);
    const tablet = await stage.member(two, { person: phone.person });
    await lose(phone, watcher);
    stage.clock.advance(10);
    await lose(tablet, watcher);
    const first = await stage.client({ person: phone.person });
    const second = await stage.client({ person: phone.person });
    watcher.move(one, 1, 1);
    watcher.move(two, 2, 2);
    await watcher.settle();
    expect(await first.rest()).toEqual([moved(1, 1)]);
    expect(await second.rest()).toEqual([moved(2, 2)]);
  });

  test("each note lives its own time", async () => {
    const timed = await stages.startTimed({ TRACKER_RESUME_SECONDS: "20" });
    const [one, two] = [await timed.pin(), await timed.pin()];
    const watcher = await timed.member(one);
    await watcher.join(two);
    const phone = await timed.member(one);
    const tablet = await timed.member(two, { person: phone.person });
    await lose(phone, watcher);
    await timed.pass(15_000);
    await lose(tablet, watcher);
    await timed.pass(10_000);
    const back = await timed.client({ person: phone.person });
    watcher.move(one, 1, 1);
    watcher.move(two, 2, 2);
    await watcher.settle();
    expect(await back.rest()).toEqual([moved(2, 2)]);
  });

  test("not after a DISCONNECT, nor when the note is too old, the room has ended or the account has left it", async () => {
    const timed = await stages.startTimed({ TRACKER_RESUME_SECONDS: "20", TRACKER_ROOM_TTL: "100" });
    const pin = await timed.pin();
    const watcher = await timed.member(pin);
    const sees = async (person: Person) => {
      const back = await timed.client({ person });
      watcher.move(pin, 1, 2);
      await watcher.settle();
      const told = await back.rest();
      await back.depart();
      return told.length > 0;
    };
    const polite = await timed.member(pin);
    await polite.depart();
    expect(await sees(polite.person)).toBe(false);

    const late = await timed.member(pin);
    await lose(late, watcher);
    await timed.pass(21_000);
    expect(await sees(late.person)).toBe(false);

    const phone = await timed.member(pin);
    const tablet = await timed.member(pin, { person: phone.person });
    await lose(phone, watcher);
    await tablet.ask("leave_room", pin);
    expect(await sees(phone.person)).toBe(false);

    const soon = await timed.member(pin);
    await lose(soon, watcher);
    expect(await sees(soon.person)).toBe(true);
  });

  test("switched off by TRACKER_RESUME_SECONDS=0", async () => {
    const without = await stages.start({ env: { TRACKER_RESUME_SECONDS: "0" } });
    const pin = await without.pin();
    const watcher = await without.member(pin);
    const viewer = await without.member(pin);
    await lose(viewer, watcher);
    const back = await without.client({ person: viewer.person });
    watcher.move(pin, 1, 2);
    await watcher.settle();
    expect(await back.rest()).toEqual([]);
    back.emit("move", { lat: 1, long: 2, roomId: "000000" });
    expect(await back.next()).toEqual(NO_ROOM);
  });
});
