import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Client, disconnected, joined, left, moved, NO_ROOM } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { Stages, type TimedStage } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: TimedStage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

describe("room notices", () => {
  test("T-5.1 T-5.2 nothing unasked, and payloads with exactly their keys", async () => {
    const pin = await stage.pin();
    const person = await stage.person();
    const raw = await RawSocket.open(stage.url, { token: person.token });
    await raw.next();
    raw.send("40", `42["join_room","${pin}"]`, `42["move",{"lat":-37.81,"long":144.96,"roomId":"${pin}"}]`);
    expect(await raw.next()).toMatch(/^40\{"sid":"[^"]+"\}$/);
    expect(await raw.next()).toBe(
      `42["room",{"details":{"type":"joined_room","msg":"${person.username} has joined room ${pin}"}}]`,
    );
    expect(await raw.next()).toBe('42["move",{"details":{"type":"success","msg":{"lat":-37.81,"long":144.96}}}]');
    raw.close();
  });

  test("T-5.3 a join is told to all, the joiner included; a repeat to the joiner only", async () => {
    const pin = await stage.pin();
    const first = await stage.member(pin);
    const second = await stage.client({ generation: 2, transports: ["polling"] });
    second.emit("join_room", pin);
    expect(await first.next()).toEqual(joined(second.person, pin));
    expect(await second.next()).toEqual(joined(second.person, pin));
    second.emit("join_room", pin);
    expect(await second.next()).toEqual(joined(second.person, pin));
    expect(await first.rest()).toEqual([]);
    // Another socket of the account is a new member.
    const third = await stage.client({ person: second.person });
    third.emit("join_room", pin);
    for (const client of [first, second, third]) expect(await client.next()).toEqual(joined(second.person, pin));
  });

  test("T-5.9 disconnected is told once in each room, and nowhere else", async () => {
    const [one, two, elsewhere] = [await stage.pin(), await stage.pin(), await stage.pin()];
    const watchers = await Promise.all([one, two, elsewhere].map((pin) => stage.member(pin)));
    const ways: [string, (client: Client) => void][] = [
      ["by DISCONNECT", (client) => client.close()],
      ["by a dropped transport", (client) => client.drop()],
    ];
    for (const [, end] of ways) {
      const client = await stage.client();
      await client.join(one);
      await client.join(two);
      await watchers[0]!.rest();
      await watchers[1]!.rest();
      end(client);
      expect(await watchers[0]!.next()).toEqual(disconnected(client.person));
      expect(await watchers[1]!.next()).toEqual(disconnected(client.person));
      for (const watcher of watchers) expect(await watcher.rest()).toEqual([]);
    }
  });

  test("T-5.9 also when a long poll breaks off for good", async () => {
    const pin = await stage.pin();
    const watcher = await stage.member(pin);
    const client = await stage.member(pin, { transports: ["polling"] });
    await watcher.rest();
    client.socket.io.engine.close();
    expect(await watcher.next()).toEqual(disconnected(client.person));
  });

  test("T-5.9 a drained socket is taken no leave of", async () => {
    const draining = await stages.start();
    const pin = await draining.pin();
    const [first, second] = [await draining.member(pin), await draining.member(pin)];
    await first.rest();
    await second.rest();
    await draining.gateway.gateway.stop();
    for (const client of [first, second]) expect((await client.next()).slice(0, 1)).toEqual(["disconnect"]);
    expect([...first.told, ...second.told].filter(([event]) => event === "room")).toHaveLength(3);
  });

  test("T-5.11 nothing is ever sent to all sockets", async () => {
    const outsider = await stage.client();
    const pin = await stage.pin();
    const client = await stage.member(pin);
    client.move(pin, 1, 2);
    client.emit("leave_room", pin);
    await client.settle();
    client.close();
    stage.clock.advance(1_000);
    expect(await outsider.rest()).toEqual([]);
  });

  test("room_message follows each notice while TRACKER_LEGACY_ROOM_MESSAGE is on, to the same sockets", async () => {
    const legacy = await stages.start({ env: { TRACKER_LEGACY_ROOM_MESSAGE: "on" } });
    const pin = await legacy.pin();
    const first = await legacy.client();
    const second = await legacy.client();
    const text = (notice: readonly [string, { readonly details: { readonly msg: string } }]) => [
      notice,
      ["room_message", notice[1].details.msg],
    ];
    await first.ask("join_room", pin);
    await second.ask("join_room", pin);
    await second.ask("join_room", pin);
    await second.ask("leave_room", pin);
    await second.ask("join_room", pin);
    second.close();
    const seen: unknown[] = [];
    while (seen.length < 10) seen.push(await first.next());
    expect(seen).toEqual([
      ...text(joined(first.person, pin)),
      ...text(joined(second.person, pin)),
      ...text(left(second.person, pin)),
      ...text(joined(second.person, pin)),
      ...text(disconnected(second.person)),
    ] as unknown[]);
    expect(second.told.filter(([event]) => event === "room_message")).toHaveLength(3);
  });
});

describe("moves", () => {
  for (const [generation, transports] of [
    [4, ["websocket"]],
    [4, ["polling"]],
    [2, ["websocket"]],
    [2, ["polling"]],
  ] as const) {
    test(`T-5.5 to all members in the order sent, generation ${generation} by ${transports[0]}`, async () => {
      const pin = await stage.pin();
      const sender = await stage.member(pin, { generation, transports });
      const watcher = await stage.member(pin, { generation, transports });
      const outsider = await stage.client();
      await sender.rest();
      const sent = Array.from({ length: 100 }, (_, i) => [-37.81 + i / 7, 1e-7 * i] as const);
      for (const [lat, long] of sent) sender.move(pin, lat, long);
      for (const client of [sender, watcher]) {
        const seen: unknown[] = [];
        while (seen.length < sent.length) seen.push(await client.next());
        expect(seen).toEqual(sent.map(([lat, long]) => moved(lat, long)));
        expect(await client.rest()).toEqual([]);
      }
      expect(await outsider.rest()).toEqual([]);
    });
  }

  test("T-11.5 no move crosses from one room into another", async () => {
    const [one, two] = [await stage.pin(), await stage.pin()];
    const [first, second, both] = [await stage.member(one), await stage.member(two), await stage.client()];
    await both.join(one);
    await both.join(two);
    for (const client of [first, second, both]) await client.rest();
    first.move(one, 1, 1);
    await first.settle();
    second.move(two, 2, 2);
    await second.settle();
    expect(await first.rest()).toEqual([moved(1, 1)]);
    expect(await second.rest()).toEqual([moved(2, 2)]);
    expect(await both.rest()).toEqual([moved(1, 1), moved(2, 2)]);
  });
});

describe("replay", () => {
  test("T-5.4 T-5.6 T-5.7 the newest position of another account, after the joiner's notice, to the joiner only", async () => {
    const pin = await stage.pin();
    const [first, second] = [await stage.member(pin), await stage.member(pin)];
    first.move(pin, 1, 1);
    second.move(pin, 2, 2);
    await second.settle();
    first.move(pin, 3, 3);
    await first.settle();
    await second.settle();
    await first.rest();
    await second.rest();
    const joiner = await stage.client();
    await joiner.ask("join_room", pin);
    expect(await joiner.rest()).toEqual([joined(joiner.person, pin), moved(3, 3)]);
    for (const client of [first, second]) expect(await client.rest()).toEqual([joined(joiner.person, pin)]);
  });

  test("T-5.6 no position, no replay", async () => {
    const pin = await stage.pin();
    await stage.member(pin);
    const joiner = await stage.client();
    await joiner.ask("join_room", pin);
    expect(await joiner.rest()).toEqual([joined(joiner.person, pin)]);
  });

  test("T-5.6 switched off by TRACKER_REPLAY_LAST", async () => {
    const silent = await stages.start({ env: { TRACKER_REPLAY_LAST: "off" } });
    const pin = await silent.pin();
    const sharer = await silent.member(pin);
    sharer.move(pin, 1, 1);
    await sharer.settle();
    const joiner = await silent.client();
    await joiner.ask("join_room", pin);
    expect(await joiner.rest()).toEqual([joined(joiner.person, pin)]);
  });

  test("T-5.8 never to the account that sent it, on a repeat, or on re-admission", async () => {
    const pin = await stage.pin();
    const sharer = await stage.member(pin);
    sharer.move(pin, 1, 1);
    await sharer.rest();
    const tablet = await stage.client({ person: sharer.person });
    await tablet.ask("join_room", pin);
    expect(await tablet.rest()).toEqual([joined(sharer.person, pin)]);

    const viewer = await stage.client();
    await viewer.ask("join_room", pin);
    await viewer.ask("join_room", pin);
    expect(await viewer.rest()).toEqual([joined(viewer.person, pin), moved(1, 1), joined(viewer.person, pin)]);
    await viewer.depart();
    const back = await stage.client({ person: viewer.person });
    back.move(pin, 5, 5);
    await back.settle();
    expect(await back.rest()).toEqual([moved(5, 5)]);
  });

  test("T-5.8 a sharer who rejoins is shown the viewer's place, not his own newer one", async () => {
    const pin = await stage.pin();
    const [sharer, other] = [await stage.member(pin), await stage.member(pin)];
    other.move(pin, 2, 2);
    await other.settle();
    sharer.move(pin, 1, 1);
    await sharer.settle();
    await sharer.depart();
    const back = await stage.client({ person: sharer.person });
    await back.ask("join_room", pin);
    expect(await back.rest()).toEqual([joined(sharer.person, pin), moved(2, 2)]);
  });

  test("T-5.7 under a stream of moves a joiner sees its notice first and never an older position after a newer one", async () => {
    const pin = await stage.pin();
    const sharer = await stage.member(pin);
    let next = 0;
    const joiners = await Promise.all(Array.from({ length: 15 }, () => stage.client()));
    const joining = joiners.map(async (joiner, i) => {
      for (let j = 0; j < i; j++) {
        sharer.move(pin, 0, next++ / 100);
        await sharer.settle();
      }
      await joiner.ask("join_room", pin);
    });
    for (let i = 0; i < 200; i++) sharer.move(pin, 0, next++ / 100);
    await Promise.all(joining);
    sharer.move(pin, 0, 179);
    for (const joiner of joiners) {
      const longs: number[] = [];
      const first = await joiner.next();
      expect(first).toEqual(joined(joiner.person, pin));
      while (longs.at(-1) !== 179) {
        const payload = (await joiner.until("move")) as { details: { msg: { long: number } } };
        longs.push(payload.details.msg.long);
      }
      expect(longs).toEqual([...new Set(longs)].sort((a, b) => a - b));
    }
  });
});

describe("expiry", () => {
  test("T-5.10 T-6.5 each member gets one no_room per room and is out, at most 2 s later", async () => {
    const timed = await stages.startTimed({ TRACKER_ROOM_TTL: "30" });
    const early = await timed.pin();
    await timed.pass(3_000);
    const late = await timed.pin();
    const client = await timed.client();
    const other = await timed.client({ transports: ["polling"], generation: 2 });
    for (const member of [client, other]) {
      await member.join(early);
      await member.join(late);
    }
    await client.rest();
    await other.rest();
    await timed.pass(26_000);
    expect(await client.rest()).toEqual([]);
    await timed.pass(3_000);
    expect(await client.rest()).toEqual([NO_ROOM]);
    expect(await other.rest()).toEqual([NO_ROOM]);
    client.move(early, 1, 1);
    expect(await client.next()).toEqual(NO_ROOM);
    client.move(late, 2, 2);
    expect(await client.next()).toEqual(moved(2, 2));
    expect(await other.rest()).toEqual([moved(2, 2)]);
    await timed.pass(3_000);
    expect(await client.next()).toEqual(NO_ROOM);
    expect(await other.next()).toEqual(NO_ROOM);
  });

  test("T-6.4 between expiry and the next look the room is closed already", async () => {
    const timed = await stages.startTimed({ TRACKER_ROOM_TTL: "30.5" });
    const pin = await timed.pin();
    const client = await timed.member(pin);
    const other = await timed.member(pin);
    await client.rest();
    await timed.pass(30_000);
    client.move(pin, 1, 1);
    expect(await client.next()).toEqual(moved(1, 1));
    expect(await other.next()).toEqual(moved(1, 1));
    timed.clock.advance(600);
    client.move(pin, 2, 2);
    // One for the end of the room, one for the move.
    expect([await client.next(), await client.next()]).toEqual([NO_ROOM, NO_ROOM]);
    expect(await other.next()).toEqual(NO_ROOM);
    await timed.pass(2_000);
    expect([...(await client.rest()), ...(await other.rest())]).toEqual([]);
  });
});
