import { afterEach, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import type { Socket as Client } from "socket.io-client";
import type { Socket as ClientV2 } from "socket.io-client-v2";
import { core } from "../../../src/socketio/core.ts";
import type { Peer } from "../../../src/socketio/endpoint.ts";
import { holdLimit, once, until } from "../events.ts";
import { declare, endpoint, Station } from "../station.ts";
import { WireSession } from "../wire.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station;
afterEach(() => station.stop());

/** A stock client with everything it was sent, and its peer on the server. */
interface Listener {
  readonly name: string;
  readonly client: Client | ClientV2;
  readonly heard: unknown[][];
  readonly peer: Peer<unknown>;
}

async function listen(name: string, client: Client | ClientV2): Promise<Listener> {
  const heard: unknown[][] = [];
  for (const event of ["x", "y", "end"]) {
    (client as ClientV2).on(event, (...args) =>
      heard.push([event, ...args.filter((arg) => typeof arg !== "function")]),
    );
  }
  await once(client, "connect");
  return { name, client, heard, peer: station.peers.at(-1)! };
}

/** One client of each generation on each transport. All kinds of delivery meet in such a crowd. */
async function crowd(): Promise<Listener[]> {
  const listeners: Listener[] = [];
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    listeners.push(await listen(`v4 ${transports}`, station.client("/", { transports })));
    listeners.push(await listen(`v2 ${transports}`, station.clientV2("/", { transports })));
  }
  return listeners;
}

/** Tells every listener to finish and waits until it has heard so: everything sent before was heard as well. */
async function finished(listeners: readonly Listener[]): Promise<Record<string, unknown[][]>> {
  for (const { peer } of listeners) peer.emit("end");
  await until(() => listeners.every(({ heard }) => heard.at(-1)?.[0] === "end"));
  return Object.fromEntries(listeners.map(({ name, heard }) => [name, heard.slice(0, -1)]));
}

test("a broadcast to a room reaches its members once, whatever their transport", async () => {
  station = new Station({ "/": declare() });
  const listeners = await crowd();
  const inside = listeners.filter((_, index) => index !== 1);
  for (const { peer } of inside) peer.socket.join("r");
  station.namespace().to("r").emit("x", { n: 1 });
  const heard = await finished(listeners);
  for (const { name } of listeners) expect(heard[name]).toEqual(name === listeners[1]?.name ? [] : [["x", { n: 1 }]]);
});

test("a broadcast to a room is published once, however many members it has", async () => {
  station = new Station({ "/": declare() });
  const listeners: Listener[] = [];
  for (let i = 0; i < 5; i++)
    listeners.push(await listen(String(i), station.client("/", { transports: ["websocket"] })));
  for (const { peer } of listeners) peer.socket.join("r");
  const publish = spyOn(station.server, "publish");
  station.namespace().to("r").emit("x");
  expect(publish.mock.calls.map(([, data]) => data)).toEqual(['42["x"]']);
  publish.mockRestore();
  expect(Object.values(await finished(listeners))).toEqual(Array(5).fill([["x"]]));
});

test("a member that left, by leave or by going, hears no more", async () => {
  station = new Station({ "/": declare() });
  const stays = await listen("stays", station.client("/", { transports: ["websocket"] }));
  const listeners = await crowd();
  for (const { peer } of [stays, ...listeners]) peer.socket.join(["r", "s"]);
  station.namespace().to("r").emit("x", 1);
  for (const { peer } of listeners) peer.socket.leave("r");
  station.namespace().to("r").emit("x", 2);
  station.namespace().to("s").emit("x", 3);
  const heard = await finished([stays, ...listeners]);
  expect(heard.stays).toHaveLength(3);
  for (const { name } of listeners) {
    expect(heard[name]).toEqual([
      ["x", 1],
      ["x", 3],
    ]);
  }
  station.namespace().in("s").disconnectSockets();
  expect(station.namespace().adapter.rooms.size).toBe(0);
});

test("the whole namespace, from the first broadcast on and for those who come later", async () => {
  station = new Station({ "/": declare() });
  const early = await crowd();
  station.namespace().emit("x", 1);
  const late = await crowd();
  station.namespace().emit("x", 2);
  for (const [name, heard] of Object.entries(await finished(early))) {
    expect(heard, name).toEqual([
      ["x", 1],
      ["x", 2],
    ]);
  }
  for (const [name, heard] of Object.entries(await finished(late))) expect(heard, name).toEqual([["x", 2]]);
});

test("socket.to and socket.broadcast leave out the sender alone, whatever its transport", async () => {
  station = new Station({ "/": declare() });
  const listeners = await crowd();
  for (const { peer } of listeners) peer.socket.join("r");
  for (const { name, peer } of listeners) {
    peer.socket.to("r").emit("x", name);
    peer.socket.broadcast.emit("y", name);
  }
  const heard = await finished(listeners);
  for (const { name } of listeners) {
    const others = listeners
      .filter((other) => other.name !== name)
      .flatMap((other) => [
        ["x", other.name],
        ["y", other.name],
      ]);
    expect(heard[name], name).toEqual(others);
  }
});

test("a sender outside the room reaches all of it", async () => {
  station = new Station({ "/": declare() });
  const listeners = await crowd();
  const [sender, ...members] = listeners;
  for (const { peer } of members) peer.socket.join("r");
  sender?.peer.socket.to("r").emit("x");
  const heard = await finished(listeners);
  for (const { name } of listeners) expect(heard[name]).toEqual(name === sender?.name ? [] : [["x"]]);
});

test("several rooms, exceptions and exceptions of rooms: each chosen socket once", async () => {
  station = new Station({ "/": declare() });
  const listeners = await crowd();
  const [one, two, three, four] = listeners as [Listener, Listener, Listener, Listener, Listener, Listener];
  for (const { peer } of [one, two, three]) peer.socket.join("r");
  for (const { peer } of [two, three, four]) peer.socket.join("s");
  four.peer.socket.join("alone");
  const namespace = station.namespace();
  namespace.to("r").to("s").emit("x", "both");
  namespace.to("r").except("s").emit("x", "r without s");
  namespace.to("s").except(three.peer.id).emit("x", "s without three");
  namespace.to("s").except("alone").emit("x", "s without the only one in a room");
  namespace.to("s").except([three.peer.id, "alone"]).emit("x", "s without two");
  namespace.to("s").except(["empty", "nobody"]).emit("x", "s without nobody");
  namespace.except("r").emit("x", "all without r");
  namespace.to("empty").emit("x", "nobody");
  const heard = await finished(listeners);
  const expected: Record<string, string[]> = {
    [one.name]: ["both", "r without s"],
    [two.name]: ["both", "s without three", "s without the only one in a room", "s without two", "s without nobody"],
    [three.name]: ["both", "s without the only one in a room", "s without nobody"],
    [four.name]: ["both", "s without three", "s without nobody", "all without r"],
  };
  for (const { name } of listeners) {
    expect(heard[name], name).toEqual((expected[name] ?? ["all without r"]).map((what) => ["x", what]));
  }
});

test("the room of a socket's own id, alone in it and with company", async () => {
  station = new Station({ "/": declare() });
  const [one, two, ...others] = (await crowd()) as [Listener, Listener, ...Listener[]];
  const namespace = station.namespace();
  namespace.to(one.peer.id).emit("x", 1);
  two.peer.socket.join(one.peer.id);
  namespace.to(one.peer.id).emit("x", 2);
  one.peer.socket.to(one.peer.id).emit("x", 3);
  one.peer.socket.leave(one.peer.id);
  namespace.to(one.peer.id).emit("x", 4);
  one.peer.socket.join(one.peer.id);
  namespace.to(one.peer.id).emit("x", 5);
  const heard = await finished([one, two, ...others]);
  expect(heard[one.name]).toEqual([1, 2, 5].map((n) => ["x", n]));
  expect(heard[two.name]).toEqual([2, 4, 5].map((n) => ["x", n]));
  for (const { name } of others) expect(heard[name]).toEqual([]);
});

test("binary broadcasts reach both generations on every transport", async () => {
  station = new Station({ "/": declare() });
  const listeners = await crowd();
  for (const { peer } of listeners) peer.socket.join("r");
  station
    .namespace()
    .to("r")
    .emit("x", { bytes: Buffer.from([1, 2, 255]) });
  for (const [name, heard] of Object.entries(await finished(listeners))) {
    const [[, value]] = heard as [[string, { bytes: Uint8Array | ArrayBuffer }]];
    expect([...new Uint8Array(value.bytes)], name).toEqual([1, 2, 255]);
  }
});

test("a broadcast with acknowledgements collects one of each member", async () => {
  station = new Station({ "/": declare() });
  const listeners = await crowd();
  for (const { name, client, peer } of listeners) {
    peer.socket.join("r");
    (client as ClientV2).on("x", (_value: unknown, answer: unknown) => (answer as (name: string) => void)(name));
  }
  const answers = await station.namespace().timeout(60_000).to("r").emitWithAck("x", 1);
  expect([...answers].sort()).toEqual(listeners.map(({ name }) => name).sort());
});

test("a broadcast whose acknowledgements do not all come in time fails with those that came", async () => {
  station = new Station({ "/": declare() });
  const [one, two] = (await crowd()) as [Listener, Listener];
  for (const { peer } of [one, two]) peer.socket.join("r");
  (one.client as ClientV2).on("x", (answer: unknown) => (answer as (value: number) => void)(1));
  using limit = holdLimit();
  const asked = station
    .namespace()
    .timeout(limit.ms)
    .to("r")
    .emitWithAck("x")
    .catch((error) => error);
  await until(() => core(one.peer.socket).acks.size === 0);
  limit.end();
  const failure = await asked;
  expect(failure).toBeInstanceOf(Error);
  expect(failure.responses).toEqual([1]);
});

test("volatile broadcasts leave out who cannot take them now, and only them", async () => {
  station = new Station(endpoint({ "/": declare() }, { maxOutboxBytes: 15 * 1_048_576 }));
  const session = await WireSession.open(station.url, 3);
  await session.next();
  const polling = await listen("polling", station.client("/", { transports: ["polling"] }));
  for (const peer of station.peers) peer.socket.join("r");
  const namespace = station.namespace();
  // Nothing is read by the client while this runs, so the system's buffers fill up.
  const block = "y".repeat(60_000);
  for (let i = 0; i < 200; i++) namespace.to(station.peers[0]!.id).emit("block", block);
  namespace.volatile.to("r").emit("x", "volatile");
  namespace.to("r").emit("x", "firm");
  await until(() => session.frames.at(-1)?.includes("firm") === true);
  expect(session.frames.filter((frame) => frame.includes('"x"'))).toEqual(['42["x","firm"]']);
  expect((await finished([polling])).polling?.at(-1)).toEqual(["x", "firm"]);
  namespace.volatile.to("r").emit("x", "again");
  await until(() => session.frames.at(-1)?.includes("again") === true);
});

test("two namespaces of one session, and two endpoints of one server, keep their rooms apart", async () => {
  station = new Station({ "/": declare(), "/b": declare() });
  const session = await WireSession.open(station.url, 4);
  session.send("40", "40/b,");
  expect([await session.next(), await session.next()]).toEqual([
    expect.stringContaining("40{"),
    expect.stringContaining("40/b,{"),
  ]);
  for (const peer of station.peers) peer.socket.join("r");
  station.namespace("/b").to("r").emit("x", "b");
  station.namespace("/").to("r").emit("x", "root");
  station.namespace("/b").emit("x", "all of b");
  station.namespace("/").emit("x", "all of root");
  session.send("41");
  await until(() => station.namespace("/").sockets.size === 0);
  // Somebody is there, so that the broadcasts are sent.
  await once(station.client("/", { transports: ["websocket"] }), "connect");
  station.peers.at(-1)?.socket.join("r");
  station.namespace("/").to("r").emit("x", "not the session");
  station.namespace("/").emit("x", "not the session");
  station.namespace("/b").to("r").emit("x", "last");
  await until(() => session.frames.at(-1) === '42/b,["x","last"]');
  expect(session.frames.slice(3, -1)).toEqual([
    '42/b,["x","b"]',
    '42["x","root"]',
    '42/b,["x","all of b"]',
    '42["x","all of root"]',
  ]);
});
