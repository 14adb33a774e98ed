import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { event } from "../../src/socketio/endpoint.ts";
import { ManualClock } from "../support/clock.ts";
import { until } from "./events.ts";
import { declare, endpoint, Station } from "./station.ts";
import { WireSession } from "./wire.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station;
afterEach(() => station.stop());

/** A declaration whose handlers answer with their version. */
function version(number: number) {
  return declare({
    authenticate: () => ({ session: number }),
    on: {
      version: event(
        v.unknown(),
        (_peer, _input, acknowledge) => acknowledge(number),
        () => {},
      ),
    },
    unknown: (_peer, name, _args, acknowledge) => acknowledge(name, number),
  });
}

async function joined(name = "/"): Promise<WireSession> {
  const session = await WireSession.open(station.url, 4);
  session.send(name === "/" ? "40" : `40${name},`);
  await session.next();
  return session;
}

test("live sockets meet the new handlers at their next event and keep session and rooms", async () => {
  station = new Station({ "/": version(1) });
  const session = await joined();
  station.peers[0]?.socket.join("r");
  session.send('421["version"]');
  expect(await session.next()).toBe("431[1]");
  station.swap(endpoint({ "/": version(2) }));
  session.send('421["version"]', '422["other"]');
  expect([await session.next(), await session.next()]).toEqual(["431[2]", '432["other",2]']);
  expect(station.peers[0]?.session).toBe(1);
  station.namespace().to("r").emit("hello");
  expect(await session.next()).toBe('42["hello"]');
  await joined();
  expect(station.peers[1]?.session).toBe(2);
});

test("an event in work when the declaration changes ends on the old one, the next one is for the new", async () => {
  const go = Promise.withResolvers<void>();
  const log: string[] = [];
  const slow = (name: string) =>
    declare({
      async unknown() {
        log.push(`${name} begins`);
        await go.promise;
        log.push(`${name} ends`);
      },
      left: () => void log.push(`${name} left`),
    });
  station = new Station({ "/": slow("old") });
  const session = await joined();
  session.send('42["x"]', '42["y"]');
  await until(() => log.length > 0);
  station.swap(endpoint({ "/": slow("new") }));
  go.resolve();
  await until(() => log.length === 4);
  session.ws.close();
  await until(() => log.length === 5);
  expect(log).toEqual(["old begins", "old ends", "new begins", "new ends", "new left"]);
});

test("mounted is called again with the same namespace, and what listened there before is gone", async () => {
  const heard: number[] = [];
  const listening = (number: number) =>
    declare({ mounted: (namespace) => void namespace.on("news", () => void heard.push(number)) });
  station = new Station({ "/": listening(1) });
  const before = station.namespace();
  station.swap(endpoint({ "/": listening(2) }));
  expect(station.namespace()).toBe(before);
  before._onServerSideEmit(["news"]);
  expect(heard).toEqual([2]);
});

test("a new namespace appears; one that is gone sends its peers away to come back", async () => {
  station = new Station({ "/": version(1), "/old": version(1) });
  const old = await joined("/old");
  const root = await joined();
  station.swap(endpoint({ "/": version(2), "/new": version(2) }));
  expect(await old.rest()).toEqual([]);
  root.send("40/new,", "40/old,");
  expect(await root.next()).toStartWith("40/new,{");
  expect(await root.next()).toBe('44/old,{"message":"Invalid namespace"}');
});

test("a declaration whose mounted throws is not put in force", async () => {
  station = new Station({ "/": version(1) });
  const session = await joined();
  const broken = declare({
    mounted() {
      throw new Error("broken");
    },
  });
  expect(() => station.swap(endpoint({ "/": broken, "/new": version(2) }))).toThrow("broken");
  session.send('421["version"]', "40/new,");
  expect([await session.next(), await session.next()]).toEqual(["431[1]", '44/new,{"message":"Invalid namespace"}']);
});

test("limits of the declaration in force hold", async () => {
  const never = Promise.withResolvers<void>();
  const waiting = declare({ unknown: () => never.promise });
  station = new Station({ "/": waiting });
  const session = await joined();
  station.swap(endpoint({ "/": waiting }, { maxInbox: 1 }));
  session.send('42["a"]', '42["b"]', '42["c"]');
  expect(await session.closed).toMatchObject({ code: 1008 });
  never.resolve();
});

test("sessions to come get the new limits, those that live keep theirs", async () => {
  const clock = new ManualClock();
  station = new Station({ "/": version(1) }, { clock });
  const old = await joined();
  const unjoined = await WireSession.open(station.url, 4);
  station.swap(endpoint({ "/": version(2) }, { pingInterval: 5_000, maxMessageBytes: 100, connectTimeout: 60_000 }));
  const young = await joined();
  expect(JSON.parse(young.frames[0]!.slice(1))).toMatchObject({ pingInterval: 5_000, maxPayload: 100 });
  const long = `421["version","${"x".repeat(200)}"]`;
  old.send(long);
  expect(await old.next()).toBe("431[2]");
  young.send(long);
  expect(await young.closed).toMatchObject({ code: 1009 });
  const patient = await WireSession.open(station.url, 4);
  clock.advance(10_000);
  expect(await unjoined.closed).toMatchObject({ code: 4408 });
  expect(patient.ws.readyState).toBe(WebSocket.OPEN);
  expect(station.mount.size).toBe(2);
  station.namespace().emit("all");
  expect(await old.next()).toBe('42["all"]');
});
