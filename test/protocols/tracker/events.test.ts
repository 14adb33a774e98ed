import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { INVALID_DATA, joined, left, moved, NO_ROOM, RATE_LIMITED, told } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { Stages, type TimedStage } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: TimedStage;
beforeAll(async () => {
  stage = await stages.startTimed({ TRACKER_EVENT_BURST: "2000" });
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

describe("room ids", () => {
  test("T-4.1 every accepted form names the same room", async () => {
    const pin = await stage.pin();
    const client = await stage.client();
    for (const form of [
      pin,
      Number(pin),
      { roomId: pin },
      { roomId: Number(pin) },
      ` ${pin}\n`,
      { roomId: `${pin} ` },
    ]) {
      client.emit("join_room", form);
      expect(await client.next()).toEqual(joined(client.person, pin));
    }
    client.emit("move", { lat: 1, long: 2, roomId: Number(pin) });
    expect(await client.next()).toEqual(moved(1, 2));
    client.emit("leave_room", { roomId: Number(pin) });
    client.move(pin, 3, 4);
    // Gone from the room and from its records.
    expect(await client.next()).toEqual(NO_ROOM);
  });

  test("T-4.2 extra arguments and keys are ignored and never relayed", async () => {
    const pin = await stage.pin();
    const watcher = await stage.member(pin);
    const client = await stage.client();
    client.emit("join_room", { roomId: pin, admin: true }, "more", { and: "more" });
    client.emit("move", { lat: 1, long: 2, roomId: pin, speed: 9, details: { type: "x" } }, [1]);
    expect(await watcher.next()).toEqual(joined(client.person, pin));
    expect(await watcher.next()).toEqual(moved(1, 2));
  });
});

describe("order and acknowledgements", () => {
  test("T-4.3 T-11.2 events of one socket are handled in order", async () => {
    const pin = await stage.pin();
    const client = await stage.client();
    client.emit("join_room", pin);
    for (let i = 0; i < 20; i++) client.move(pin, i, i);
    client.emit("leave_room", pin);
    client.emit("join_room", pin);
    client.move(pin, 50, 50);
    await client.settle();
    expect(client.told.slice(1)).toEqual([
      joined(client.person, pin),
      ...Array.from({ length: 20 }, (_, i) => moved(i, i)),
      joined(client.person, pin),
      moved(50, 50),
    ]);
  });

  test("T-4.4 one acknowledgement, empty, after what the event caused", async () => {
    const pin = await stage.pin();
    const person = await stage.person();
    const raw = await RawSocket.open(stage.url, { token: person.token });
    await raw.connect();
    const ask = async (event: unknown[], packets: number) => {
      raw.send(`427${JSON.stringify(event)}`);
      const answer: (string | null)[] = [];
      while (answer.length < packets) answer.push(await raw.next());
      return answer;
    };
    const packet = (event: readonly unknown[]) => `42${JSON.stringify(event)}`;
    expect(await ask(["join_room", pin], 2)).toEqual([packet(joined(person, pin)), "437[]"]);
    expect(await ask(["join_room", pin], 2)).toEqual([packet(joined(person, pin)), "437[]"]);
    expect(await ask(["join_room", "000000"], 2)).toEqual([packet(NO_ROOM), "437[]"]);
    expect(await ask(["join_room"], 2)).toEqual([packet(INVALID_DATA), "437[]"]);
    expect(await ask(["move", { lat: 1, long: 2, roomId: pin }], 2)).toEqual([packet(moved(1, 2)), "437[]"]);
    expect(await ask(["move", { lat: 1, long: 2, roomId: "000000" }], 2)).toEqual([packet(NO_ROOM), "437[]"]);
    expect(await ask(["move", 7], 2)).toEqual([packet(INVALID_DATA), "437[]"]);
    expect(await ask(["leave_room", pin], 1)).toEqual(["437[]"]);
    expect(await ask(["leave_room", pin], 1)).toEqual(["437[]"]);
    expect(await ask(["leave_room", []], 2)).toEqual([packet(INVALID_DATA), "437[]"]);
    raw.close();
  });

  test("T-4.5 unknown events and `error` are ignored without an acknowledgement", async () => {
    const { token } = await stage.person();
    const raw = await RawSocket.open(stage.url, { token });
    await raw.connect();
    for (const event of ["nonsense", "error", "room", "connect", "disconnect", "newListener", "join_room "]) {
      raw.send(`421["${event}","x"]`);
    }
    raw.send('422["leave_room",""]');
    expect(await raw.next()).toBe("432[]");
    raw.close();
  });
});

describe("join_room", () => {
  test("T-4.6 a membership beside others, the account recorded until the room expires", async () => {
    const [first, second] = [await stage.pin(), await stage.pin()];
    const client = await stage.member(first);
    await client.join(second);
    client.move(first, 1, 1);
    client.move(second, 2, 2);
    expect([await client.next(), await client.next()]).toEqual([moved(1, 1), moved(2, 2)]);
    await client.depart();
    const again = await stage.client({ person: client.person });
    again.move(first, 3, 3);
    expect(await again.next()).toEqual(moved(3, 3));
  });

  test("T-4.7 T-8.2 T-8.3 no such room; only six digits count as a guess", async () => {
    const strict = await stages.startTimed({ TRACKER_JOIN_FAILS_USER: "2" });
    const client = await strict.client();
    for (const id of ["", "abc", "12345", 123456.5, "x".repeat(10_000), "1234567", "12345a", "１２３４５６"]) {
      client.emit("join_room", id);
      expect([id, await client.next()]).toEqual([id, NO_ROOM]);
    }
    for (const id of ["000000", 999_999]) {
      client.emit("join_room", id);
      expect([id, await client.next()]).toEqual([id, NO_ROOM]);
    }
    client.emit("join_room", "000000");
    expect(await client.next()).toEqual(RATE_LIMITED);
  });

  test("T-4.8 T-4.9 after too many failures of an account every join is refused, but where it is recorded", async () => {
    const strict = await stages.startTimed({ TRACKER_JOIN_FAILS_USER: "3", TRACKER_JOIN_WINDOW: "100" });
    const [known, unknown] = [await strict.pin(), await strict.pin()];
    const client = await strict.member(known);
    const tablet = await strict.client({ person: client.person });
    const join = async (at: typeof client, pin: string) => {
      at.emit("join_room", pin);
      return await at.next();
    };
    for (let i = 0; i < 3; i++) expect(await join(i === 1 ? tablet : client, "000000")).toEqual(NO_ROOM);
    for (const pin of ["000000", unknown, "abc"]) expect([pin, await join(client, pin)]).toEqual([pin, RATE_LIMITED]);
    expect(await join(tablet, unknown)).toEqual(RATE_LIMITED);
    expect(await join(tablet, known)).toEqual(joined(client.person, known));
    const other = await strict.client();
    expect(await join(other, unknown)).toEqual(joined(other.person, unknown));
    for (let i = 0; i < 5; i++) {
      strict.clock.advance(20_000);
      await client.settle();
      await tablet.settle();
      await other.settle();
    }
    expect((await join(client, unknown))[0]).toBe("room");
  });

  test("T-4.8 the failures of an address count together", async () => {
    const strict = await stages.startTimed({ TRACKER_JOIN_FAILS_IP: "4" });
    const pin = await strict.pin();
    for (let i = 0; i < 4; i++) {
      const client = await strict.client();
      client.emit("join_room", "000000");
      expect(await client.next()).toEqual(NO_ROOM);
    }
    const fifth = await strict.client();
    fifth.emit("join_room", pin);
    expect(await fifth.next()).toEqual(RATE_LIMITED);
  });

  test("T-4.19 no more rooms than TRACKER_MAX_ROOMS_PER_SOCKET", async () => {
    const narrow = await stages.start({ env: { TRACKER_MAX_ROOMS_PER_SOCKET: "2" } });
    const pins = [await narrow.pin(), await narrow.pin(), await narrow.pin()] as const;
    const client = await narrow.member(pins[0]);
    await client.join(pins[1]);
    client.emit("join_room", pins[2]);
    expect(await client.next()).toEqual(told("too_many_rooms", "Too many rooms"));
    client.emit("join_room", pins[1]);
    expect(await client.next()).toEqual(joined(client.person, pins[1]));
    client.emit("leave_room", pins[0]);
    await client.join(pins[2]);
  });
});

describe("leave_room", () => {
  test("T-4.10 ends the membership and the record, tells the others, leaves other sockets of the account inside", async () => {
    const pin = await stage.pin();
    const watcher = await stage.member(pin);
    const phone = await stage.member(pin);
    const tablet = await stage.member(pin, { person: phone.person });
    await watcher.rest();
    await phone.rest();
    phone.emit("leave_room", pin);
    expect(await watcher.next()).toEqual(left(phone.person, pin));
    expect(await tablet.next()).toEqual(left(phone.person, pin));
    expect(await phone.rest()).toEqual([]);
    tablet.move(pin, 1, 2);
    expect([await watcher.next(), await tablet.next()]).toEqual([moved(1, 2), moved(1, 2)]);
    phone.move(pin, 3, 4);
    expect(await phone.next()).toEqual(NO_ROOM);
    expect(await watcher.rest()).toEqual([]);
  });

  test("T-4.10 the stored position goes as well", async () => {
    const pin = await stage.pin();
    const sharer = await stage.member(pin);
    sharer.move(pin, 1, 2);
    expect(await sharer.ask("leave_room", pin)).toEqual([]);
    const viewer = await stage.member(pin);
    expect(await viewer.rest()).toEqual([]);
  });

  test("T-4.11 T-8.4 by a non-member, or of an unknown room, nothing happens", async () => {
    const pin = await stage.pin();
    const watcher = await stage.member(pin);
    const client = await stage.client();
    for (const id of [pin, "", "abc", "000000", 7]) expect(await client.ask("leave_room", id)).toEqual([]);
    expect(await client.rest()).toEqual([]);
    expect(await watcher.rest()).toEqual([]);
  });
});

describe("move", () => {
  test("T-4.12 T-8.6 lat and long are finite numbers in range", async () => {
    const pin = await stage.pin();
    const { token } = await stage.person();
    const raw = await RawSocket.open(stage.url, { token });
    await raw.connect();
    raw.send(`42["join_room","${pin}"]`);
    await raw.next();
    const bad = ['"1"', "null", "true", "{}", "[]", "1e400", "-1e400", "90.1", "-90.000001"];
    for (const lat of bad) {
      raw.send(`42["move",{"lat":${lat},"long":1,"roomId":"${pin}"}]`);
      expect([lat, await raw.next()]).toEqual([lat, `42${JSON.stringify(INVALID_DATA)}`]);
    }
    for (const long of [...bad.slice(0, 7), "180.5", "-180.5"]) {
      raw.send(`42["move",{"lat":1,"long":${long},"roomId":"${pin}"}]`);
      expect([long, await raw.next()]).toEqual([long, `42${JSON.stringify(INVALID_DATA)}`]);
    }
    for (const position of ['"lat":1', '"long":1', '"latitude":1,"longitude":1']) {
      raw.send(`42["move",{${position},"roomId":"${pin}"}]`);
      expect(await raw.next()).toBe(`42${JSON.stringify(INVALID_DATA)}`);
    }
    for (const [lat, long] of [
      [90, 180],
      [-90, -180],
      [0, 0],
      [0, 5],
      [5, 0],
      [-37.81, 144.96],
    ] as const) {
      raw.send(`42["move",{"lat":${lat},"long":${long},"roomId":"${pin}"}]`);
      expect(await raw.next()).toBe(`42${JSON.stringify(moved(lat, long))}`);
    }
    raw.close();
  });

  test("T-4.13 T-8.8 T-11.4 the room id's form is checked before membership", async () => {
    const client = await stage.client();
    for (const roomId of [undefined, "", "   ", null, true, {}, [], ["929165"]]) {
      client.emit("move", { lat: 1, long: 2, roomId });
      expect([roomId, await client.next()]).toEqual([roomId, INVALID_DATA]);
    }
    for (const roomId of ["abc", "12345", "000000", 929_165.5, -1]) {
      client.emit("move", { lat: 1, long: 2, roomId });
      expect([roomId, await client.next()]).toEqual([roomId, NO_ROOM]);
    }
    client.emit("move", { lat: 91, long: 2, roomId: "000000" });
    expect(await client.next()).toEqual(INVALID_DATA);
  });

  test("T-4.15 T-11.3 T-8.9 a recorded account is let in again without a word, a stranger is not", async () => {
    const pin = await stage.pin();
    const watcher = await stage.member(pin);
    const sharer = await stage.member(pin);
    sharer.close();
    await watcher.until("room");
    expect((await watcher.next())[0]).toBe("room");
    const back = await stage.client({ person: sharer.person });
    back.move(pin, 1, 2);
    expect(await watcher.next()).toEqual(moved(1, 2));
    expect(await back.next()).toEqual(moved(1, 2));
    watcher.move(pin, 3, 4);
    expect(await back.next()).toEqual(moved(3, 4));
    await watcher.next();
    const stranger = await stage.client();
    stranger.move(pin, 5, 6);
    expect(await stranger.next()).toEqual(NO_ROOM);
    expect(await watcher.rest()).toEqual([]);
    expect(await stranger.rest()).toEqual([]);
  });

  test("T-4.16 no such room, expired and not a member look the same", async () => {
    const timed = await stages.startTimed({ TRACKER_ROOM_TTL: "5" });
    const person = await timed.person();
    const [gone, foreign] = [await timed.pin(), await timed.pin()];
    const client = await timed.client({ person });
    await client.join(gone);
    await timed.pass(6_000);
    expect(await client.next()).toEqual(NO_ROOM);
    for (const pin of ["000000", gone, foreign]) {
      client.move(pin, 1, 2);
      expect(await client.next()).toEqual(NO_ROOM);
    }
  });
});

describe("rates", () => {
  test("T-4.17 beyond rate and burst events are dropped, which is told once a second", async () => {
    const slow = await stages.startTimed({ TRACKER_EVENT_RATE: "10", TRACKER_EVENT_BURST: "20" });
    const pin = await slow.pin();
    const { token } = await slow.person();
    const raw = await RawSocket.open(slow.url, { token });
    await raw.connect();
    raw.send(`42["join_room","${pin}"]`);
    for (let i = 0; i < 40; i++) raw.send(`42["move",{"lat":${i},"long":0,"roomId":"${pin}"}]`);
    await raw.next();
    const packets: (string | null)[] = [];
    for (let i = 0; i < 20; i++) packets.push(await raw.next());
    expect(packets.filter((packet) => packet?.includes('"move"'))).toHaveLength(19);
    expect(packets.filter((packet) => packet === `42${JSON.stringify(RATE_LIMITED)}`)).toHaveLength(1);
    slow.clock.advance(1_000);
    raw.send('421["leave_room",""]');
    expect(await raw.next()).toBe("431[]");
    for (let i = 0; i < 9; i++) raw.send(`42["leave_room",""]`);
    for (let i = 0; i < 5; i++) raw.send(`422["leave_room",""]`);
    expect(await raw.next()).toBe(`42${JSON.stringify(RATE_LIMITED)}`);
    for (let i = 0; i < 5; i++) expect(await raw.next()).toBe("432[]");
    raw.close();
  });

  test("T-4.18 T-8.8 errors within the rate lead to nothing worse", async () => {
    const client = await stage.client();
    for (let i = 0; i < 900; i++) {
      client.emit("move", { lat: 1, long: 2, roomId: i % 2 === 0 ? "" : "000000" });
    }
    await client.settle();
    const errors = client.told.slice(1);
    expect(errors).toHaveLength(900);
    for (const [i, error] of errors.entries()) expect(error).toEqual(i % 2 === 0 ? INVALID_DATA : NO_ROOM);
    const pin = await stage.pin();
    await client.rest();
    await client.join(pin);
  });
});
