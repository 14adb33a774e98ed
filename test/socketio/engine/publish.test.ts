import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { Engine, type EngineSocket, WEBSOCKET_LIMITS } from "../../../src/socketio/engine/index.ts";
import { ManualClock } from "../../support/clock.ts";
import { WireClient } from "../../support/wire.ts";
import { ended, REVISIONS, Station } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

/** More than any kernel buffer takes from a server whose client does not read. */
const MANY = 400;
const BLOCK = "x".repeat(100_000);

/** A session whose client has stopped reading. */
async function deaf(at: Station): Promise<{ wire: WireClient; socket: EngineSocket }> {
  const connected = once(at.engine, "connection");
  const wire = await WireClient.open(at.url("EIO=4&transport=websocket"));
  const [socket] = (await connected) as [EngineSocket];
  wire.pause();
  return { wire, socket };
}

describe("topics", () => {
  test("one publish reaches sessions of both revisions, subscribers alone", async () => {
    await using at = Station.open();
    const three = await at.pair(3);
    const four = await at.pair(4);
    const outside = await at.pair(4);
    three.socket.subscribe("room");
    four.socket.subscribe("room");
    expect(at.engine.subscriberCount("room")).toBe(2);
    at.engine.publish("room", "hello €");
    expect(await three.client.next()).toBe("4hello €");
    expect(await four.client.next()).toBe("4hello €");
    outside.socket.send("only this");
    expect(await outside.client.next()).toBe("4only this");
    four.socket.unsubscribe("room");
    expect(at.engine.subscriberCount("room")).toBe(1);
  });

  test("a session's own publish leaves it out", async () => {
    await using at = Station.open();
    const one = await at.pair(4);
    const other = await at.pair(4);
    for (const { socket } of [one, other]) socket.subscribe("room");
    one.socket.publish("room", "from one");
    other.socket.publish("room", "from other");
    expect(await other.client.next()).toBe("4from one");
    expect(await one.client.next()).toBe("4from other");
  });

  test("engines that share a server do not share topics", async () => {
    const other = new Engine({ path: "/other/" });
    await using at = Station.open({}, other);
    const here = await at.pair(4);
    const there = await at.pair(4, "", other);
    here.socket.subscribe("room");
    there.socket.subscribe("room");
    at.engine.publish("room", "here");
    other.publish("room", "there");
    expect(await here.client.next()).toBe("4here");
    expect(await there.client.next()).toBe("4there");
  });

  test("an engine nobody has reached yet publishes to nobody", () => {
    const engine = new Engine();
    engine.publish("room", "x");
    expect(engine.subscriberCount("room")).toBe(0);
  });

  test("a session that ended is subscribed no more", async () => {
    await using at = Station.open();
    const { client, socket } = await at.pair(4);
    socket.subscribe("room");
    const reason = ended(socket);
    client.ws.close();
    await reason;
    socket.subscribe("room");
    expect([socket.live, at.engine.subscriberCount("room")]).toEqual([false, 0]);
  });
});

for (const revision of REVISIONS) {
  describe(`revision ${revision}`, () => {
    test("a WebSocket session is live when it connects, and says so after its listeners were added", async () => {
      await using at = Station.open();
      const live = new Promise<boolean>((resolve) => {
        at.engine.on("connection", (socket) => {
          const early = socket.live;
          socket.once("live", () => resolve(early));
        });
      });
      await at.websocket(revision);
      expect(await live).toBe(true);
    });

    test("a polling session keeps its subscriptions for when it is live", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      socket.subscribe("kept");
      socket.subscribe("dropped");
      socket.unsubscribe("dropped");
      expect([socket.live, at.engine.subscriberCount("kept")]).toEqual([false, 0]);
      at.engine.publish("kept", "not for polling");
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      socket.send("first");
      expect(socket.live).toBe(false);
      const live = once(socket, "live");
      frames.send("5");
      await live;
      expect([socket.live, at.engine.subscriberCount("kept"), at.engine.subscriberCount("dropped")]).toEqual([
        true,
        1,
        0,
      ]);
      at.engine.publish("kept", "second");
      expect(await frames.take(2)).toEqual(["4first", "4second"]);
    });

    test("a polling session publishes to all live ones", async () => {
      await using at = Station.open();
      const { client, socket } = await at.pair(revision);
      socket.subscribe("room");
      const polling = await at.polling(revision);
      at.session(polling.sid).publish("room", "from afar");
      expect(await client.next()).toBe("4from afar");
    });

    test("thousands of frames, sent and published in turn, arrive in the order of the calls", async () => {
      await using at = Station.open();
      const { client, socket } = await at.upgraded(revision);
      const { socket: peer } = await at.pair(revision);
      const rooms = Array.from({ length: 5 }, (_, i) => `room ${i}`);
      for (const room of rooms) socket.subscribe(room);
      let count = 0;
      // Inside an event handler of the socket Bun corks it, outside it does not; both have to keep order.
      socket.on("data", () => burst(500));
      function burst(size: number): void {
        for (const end = count + size; count < end; count++) {
          const way = (count * 7) % 4;
          const room = rooms[count % rooms.length] as string;
          if (way === 0) at.engine.publish(room, String(count));
          else if (way === 1) peer.publish(room, String(count));
          else socket.send(String(count));
        }
      }
      for (let round = 0; round < 4; round++) {
        burst(500);
        client.send("4burst");
        await once(socket, "data");
        await Promise.resolve().then(() => burst(1));
        await new Promise((resolve) => setImmediate(resolve));
        burst(100);
      }
      const frames = await client.take(count);
      expect(count).toBe(4404);
      expect(frames).toEqual(Array.from({ length: count }, (_, i) => `4${i}`));
    });
  });
}

describe("slow readers", () => {
  test("more than maxOutboxBytes written ends the session, and nothing was dropped before", async () => {
    await using at = Station.open({ maxOutboxBytes: 500_000 });
    const { wire, socket } = await deaf(at);
    const slow = once(at.engine, "slow");
    const reason = ended(socket);
    let sent = 0;
    while (socket.readyState === "open" && sent < MANY) {
      socket.send(BLOCK);
      sent++;
      expect(socket.bufferedBytes).toBeLessThanOrEqual(500_000 + BLOCK.length + 100);
    }
    expect(await reason).toBe("slow reader");
    expect((await slow)[0]).toBe(socket);
    expect([socket.endedBy, socket.closeCode]).toEqual(["server", 4008]);
    wire.resume();
    const frames = await wire.rest();
    const close = frames.pop();
    expect([close?.code, frames.length]).toEqual([4008, sent + 1]);
  });

  test("a volatile packet would wait: the transport is not writable while there is a backlog", async () => {
    await using at = Station.open({ maxOutboxBytes: 10_000_000 });
    const { wire, socket } = await deaf(at);
    expect(socket.transport.writable).toBe(true);
    while (socket.bufferedBytes === 0) socket.send(BLOCK);
    expect(socket.transport.writable).toBe(false);
    let taken = 0;
    socket.write("last", {}, () => taken++);
    const drained = once(socket, "drain");
    expect(taken).toBe(0);
    wire.resume();
    await drained;
    expect([taken, socket.transport.writable, socket.bufferedBytes]).toEqual([1, true, 0]);
    wire.destroy();
  });

  test("closeAfterFlush waits for the backlog, and lets no publish in behind the last packet", async () => {
    await using at = Station.open({ maxOutboxBytes: 10_000_000 });
    const { wire, socket } = await deaf(at);
    socket.subscribe("room");
    while (socket.bufferedBytes === 0) socket.send(BLOCK);
    socket.send("last");
    const reason = ended(socket);
    socket.closeAfterFlush(60_000);
    expect(socket.readyState).toBe("closing");
    at.engine.publish("room", "too late");
    wire.resume();
    expect(await reason).toBe("forced close");
    const frames = await wire.rest();
    expect(frames.slice(-2).map(({ text, code }) => [text, code])).toEqual([
      ["4last", 0],
      ["", 1000],
    ]);
  });

  test("native publishes count: a backlog they made is found within a second", async () => {
    const clock = new ManualClock();
    await using at = Station.open({ maxOutboxBytes: 500_000, clock });
    const { wire, socket } = await deaf(at);
    const healthy = await at.pair(4);
    socket.subscribe("room");
    while (socket.bufferedBytes <= 500_000) at.engine.publish("room", BLOCK);
    const reason = ended(socket);
    clock.advance(999);
    expect(socket.readyState).toBe("open");
    clock.advance(1);
    expect(await reason).toBe("slow reader");
    expect(healthy.socket.readyState).toBe("open");
    wire.destroy();
  });

  test("past Bun's own limit a publish ends the socket instead of being dropped in silence", async () => {
    await using at = Station.open({ maxOutboxBytes: Number.MAX_SAFE_INTEGER });
    const { wire, socket } = await deaf(at);
    socket.subscribe("room");
    const reason = ended(socket);
    const blocks = Math.ceil(WEBSOCKET_LIMITS.backpressureLimit / BLOCK.length) + MANY;
    for (let i = 0; i < blocks; i++) at.engine.publish("room", BLOCK);
    expect(await reason).toBe("transport close");
    expect(socket.endedBy).toBe("lost");
    wire.destroy();
  });

  test("past Bun's own limit a write ends the session as a slow reader", async () => {
    await using at = Station.open({ maxOutboxBytes: Number.MAX_SAFE_INTEGER });
    const { wire, socket } = await deaf(at);
    const reason = ended(socket);
    const blocks = Math.ceil(WEBSOCKET_LIMITS.backpressureLimit / BLOCK.length) + MANY;
    for (let i = 0; i < blocks; i++) socket.send(BLOCK);
    expect(await reason).toBe("slow reader");
    wire.destroy();
  });
});
