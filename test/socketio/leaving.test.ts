import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { event, type LeaveReason, type NamespaceDeclaration } from "../../src/socketio/endpoint.ts";
import { ManualClock } from "../support/clock.ts";
import { once, until } from "./events.ts";
import { declare, endpoint, Station } from "./station.ts";
import { PollingSession, WireSession } from "./wire.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station;
afterEach(() => station.stop());

type Departure = [reason: LeaveReason, rooms: string[]];

/** A namespace whose peers join the room `r`, and the list of how they left. */
function leaving(given: Partial<NamespaceDeclaration<unknown>> = {}) {
  const departures: Departure[] = [];
  const declaration = declare({
    joined: (peer) => void peer.socket.join("r"),
    left: (peer, reason, rooms) => void departures.push([reason, [...rooms].filter((room) => room !== peer.id)]),
    ...given,
  });
  return { declaration, departures };
}

async function joined(clock?: ManualClock, given: Partial<NamespaceDeclaration<unknown>> = {}) {
  const { declaration, departures } = leaving(given);
  station = new Station({ "/": declaration }, clock ? { clock } : {});
  const session = await WireSession.open(station.url, 4);
  session.send("40");
  await session.next();
  const [socket] = station.namespace().sockets.values();
  return { session, departures, socket: socket! };
}

test("client: DISCONNECT", async () => {
  const { session, departures } = await joined();
  session.send("41");
  await until(() => departures.length > 0);
  expect(departures).toEqual([["client", ["r"]]]);
  session.ws.close();
  await until(() => station.mount.size === 0);
  expect(departures).toHaveLength(1);
});

test("client: engine close packet; lost (T-10.1): a WebSocket closed below a client that did not say it leaves", async () => {
  const { session, departures } = await joined();
  session.send("1");
  await until(() => departures.length === 1);
  const other = await WireSession.open(station.url, 4);
  other.send("40");
  await other.next();
  other.ws.close();
  await until(() => departures.length === 2);
  expect(departures).toEqual([
    ["client", ["r"]],
    ["lost", ["r"]],
  ]);
});

test("lost: no sign of life", async () => {
  const clock = new ManualClock();
  const { departures } = await joined(clock);
  clock.advance(46_000);
  await until(() => departures.length > 0);
  expect(departures).toEqual([["lost", ["r"]]]);
});

test("lost: a WebSocket that ends without a close frame", async () => {
  const { session, departures } = await joined();
  session.ws.terminate();
  await until(() => departures.length > 0);
  expect(departures).toEqual([["lost", ["r"]]]);
});

test("lost: a packet that makes no sense", async () => {
  const { session, departures } = await joined();
  session.send("4nonsense");
  await until(() => departures.length > 0);
  expect(departures).toEqual([["lost", ["r"]]]);
});

test("lost: drop, with its code and without DISCONNECT", async () => {
  const { session, departures } = await joined(undefined, { unknown: (peer) => peer.drop(4321) });
  session.send('42["x"]');
  expect(await session.rest()).toEqual([]);
  expect(await session.closed).toMatchObject({ code: 4321 });
  expect(departures).toEqual([["lost", ["r"]]]);
});

test("kicked: last event, DISCONNECT, close; events behind it do not count", async () => {
  const seen: string[] = [];
  const { session, departures } = await joined(undefined, {
    unknown(peer, name) {
      seen.push(name);
      peer.kick("bye", "reason");
    },
  });
  session.send('42["x"]', '42["y"]');
  expect(await session.rest()).toEqual(['42["bye","reason"]', "41"]);
  expect(departures).toEqual([["kicked", ["r"]]]);
  expect(seen).toEqual(["x"]);
});

test("kicked: a stock client on polling takes everything and stays away", async () => {
  const { declaration, departures } = leaving({ unknown: (peer) => peer.kick("bye", 1) });
  station = new Station({ "/": declaration });
  const open = [
    () => station.client("/", { transports: ["polling"] }),
    () => station.clientV2("/", { transports: ["polling"] }),
  ];
  for (const opened of open) {
    const client = opened();
    await once(client, "connect");
    const bye = once(client, "bye");
    client.emit("x");
    expect((await once(client, "disconnect"))[0]).toBe("io server disconnect");
    expect(await bye).toEqual([1]);
  }
  await until(() => station.mount.size === 0);
  expect(departures).toHaveLength(2);
});

test("kicked: by socket.io's own means, without ending the session", async () => {
  const { session, departures } = await joined();
  station.namespace().in("r").disconnectSockets();
  expect(await session.next()).toBe("41");
  expect(departures).toEqual([["kicked", ["r"]]]);
  // A DISCONNECT that crossed the server's is no offence, and the client may come again.
  session.send("41", "40");
  expect(await session.next()).toStartWith("40{");
  station.namespace().disconnectSockets(true);
  expect(await session.rest()).toEqual(["41"]);
});

test("drain: 1012 without DISCONNECT, in the number asked for", async () => {
  const { session, departures } = await joined();
  const second = await WireSession.open(station.url, 4);
  expect(station.mount.drain(1)).toBe(1);
  expect(await session.rest()).toEqual([]);
  expect(await session.closed).toMatchObject({ code: 1012 });
  expect(departures).toEqual([["drain", ["r"]]]);
  expect(station.mount.drain(5)).toBe(0);
  expect(await second.closed).toMatchObject({ code: 1012 });
  expect(station.observed).toBe(0);
});

test("T-7.7 stock clients see a drain as transport close", async () => {
  station = new Station({ "/": declare() });
  for (const transports of [["polling"], ["websocket"]]) {
    for (const open of [() => station.client("/", { transports }), () => station.clientV2("/", { transports })]) {
      const client = open();
      await once(client, "connect");
      station.mount.drain(1);
      expect((await once(client, "disconnect"))[0]).toBe("transport close");
    }
  }
});

test("T-7.4 lost: a client that does not read is ended and counted", async () => {
  const { declaration, departures } = leaving();
  station = new Station(endpoint({ "/": declaration }, { maxOutboxBytes: 20_000 }));
  const session = await PollingSession.open(station.url, 4);
  await session.post("40");
  await until(() => station.namespace().sockets.size === 1);
  for (let i = 0; i < 30; i++) station.namespace().to("r").emit("x", "y".repeat(1_000));
  await until(() => departures.length > 0);
  expect(departures).toEqual([["lost", ["r"]]]);
  expect(await station.samples("slow_readers")).toEqual([expect.stringMatching(/ 1$/)]);
  expect(await station.samples("closes", 'by="server"', 'code="4008"')).toEqual([expect.stringMatching(/ 1$/)]);
});

test.each([
  ["DISCONNECT", (session: WireSession) => session.send("41")],
  ["the end of the transport", (session: WireSession) => session.send("1")],
])("left comes after the last event, with the rooms of then: %s", async (_how, leave) => {
  const go = Promise.withResolvers<void>();
  const log: string[] = [];
  const { session } = await joined(undefined, {
    on: {
      wait: event(
        v.unknown(),
        async () => {
          await go.promise;
          log.push("waited");
        },
        () => {},
      ),
      leave_room: event(
        v.unknown(),
        (peer) => {
          log.push(`was in ${peer.socket.rooms.has("r")}`);
          peer.socket.leave("r");
        },
        () => {},
      ),
    },
    left: (_peer, reason, rooms) => void log.push(`left ${reason} ${rooms.has("r")}`),
  });
  session.send('42["wait"]', '42["leave_room"]');
  leave(session);
  if (_how !== "DISCONNECT") await until(() => station.mount.size === 0);
  expect(log).toEqual([]);
  go.resolve();
  await until(() => log.length === 3);
  expect(log).toEqual(["waited", "was in true", "left client false"]);
  expect(station.namespace().sockets.size).toBe(0);
});

test("after DISCONNECT events of the client are ignored, also while earlier ones are handled", async () => {
  const go = Promise.withResolvers<void>();
  const seen: string[] = [];
  const { session, departures } = await joined(undefined, {
    async unknown(_peer, name) {
      seen.push(name);
      await go.promise;
    },
  });
  session.send('42["a"]', "41", '42["b"]', '42["c"]');
  await until(() => seen.length > 0);
  go.resolve();
  await until(() => departures.length > 0);
  expect(seen).toEqual(["a"]);
  expect(station.mount.size).toBe(1);
});

test("a fault in left is logged", async () => {
  const { session } = await joined(undefined, { left: () => Promise.reject(new Error("store away")) });
  session.send("41");
  await until(() => station.logged.length > 0);
  expect(station.logged[0]).toContain("store away");
});

test("closing the mount waits for what peers are doing and for their leaving", async () => {
  const go = Promise.withResolvers<void>();
  const log: string[] = [];
  const { session } = await joined(undefined, {
    async unknown() {
      await go.promise;
      log.push("handled");
    },
    async left() {
      await Promise.resolve();
      log.push("left");
    },
  });
  session.send('42["x"]');
  await until(async () => (await station.samples("events_received", "other")).some((line) => line.endsWith(" 1")));
  const closing = station.mount.close().then(() => log.push("closed"));
  await session.closed;
  go.resolve();
  await closing;
  expect(log).toEqual(["handled", "left", "closed"]);
});

test("closing the mount does not wait for a handler that never ends", async () => {
  const clock = new ManualClock();
  const never = Promise.withResolvers<void>();
  const { session } = await joined(clock, { unknown: () => never.promise });
  session.send('42["x"]');
  await until(async () => (await station.samples("events_received", "other")).some((line) => line.endsWith(" 1")));
  const closing = station.mount.close();
  clock.advance(2_000);
  await closing;
  never.resolve();
});
