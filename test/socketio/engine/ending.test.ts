import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { ManualClock } from "../../support/clock.ts";
import { frameBytes, TEXT, WireClient } from "../../support/wire.ts";
import { ended, pack, polled, REVISIONS, Station } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

for (const revision of REVISIONS) {
  describe(`revision ${revision}`, () => {
    test("terminate on a WebSocket: a close frame with code and reason", async () => {
      await using at = Station.open();
      const { client, socket } = await at.pair(revision);
      const reason = ended(socket);
      socket.terminate(1012, "restart");
      expect(await client.closed).toEqual({ code: 1012, reason: "restart" });
      expect(await reason).toBe("forced close");
      expect([socket.endedBy, socket.closeCode, socket.readyState]).toEqual(["server", 1012, "closed"]);
      expect(at.engine.sessions.size).toBe(0);
    });

    test("terminate on polling answers the waiting poll with a close packet and drops the outbox", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const poll = client.take();
      await polled(client, socket);
      socket.send("dropped");
      socket.terminate(1012);
      expect(await poll).toEqual(["1"]);
      expect((await client.poll()).status).toBe(400);
    });

    test("terminate on polling without a poll: the next one gets the close packet, once, and a POST 400", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      at.session(client.sid).terminate();
      expect(at.engine.sessions.size).toBe(0);
      expect((await client.send("4x")).status).toBe(400);
      expect(await (await client.poll()).text()).toBe(pack(revision, "1"));
      expect((await client.poll()).status).toBe(400);
    });

    test("a session a client was not told about is forgotten after pingTimeout", async () => {
      const clock = new ManualClock();
      await using at = Station.open({ clock, pingTimeout: 20_000 });
      const client = await at.polling(revision);
      at.session(client.sid).terminate();
      clock.advance(20_000);
      expect((await client.poll()).status).toBe(400);
    });

    test("close lets a polling client take what was written first", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const reason = ended(socket);
      socket.send("last").send("words");
      socket.close();
      socket.send("too late");
      expect(socket.readyState).toBe("closing");
      expect(await client.take()).toEqual(["4last", "4words"]);
      expect(await reason).toBe("forced close");
      expect(await client.take()).toEqual(["1"]);
    });

    test("close on a WebSocket comes behind what was written", async () => {
      await using at = Station.open();
      const { client, socket } = await at.pair(revision);
      socket.send("last");
      socket.close();
      expect(await client.next()).toBe("4last");
      expect((await client.closed).code).toBe(1000);
    });

    test("close with discard waits for nothing", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      socket.send("dropped").close(true);
      expect(socket.readyState).toBe("closed");
      expect(await client.take()).toEqual(["1"]);
    });

    test("closeAfterFlush gives up after its timeout", async () => {
      const clock = new ManualClock();
      await using at = Station.open({ clock });
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const reason = ended(socket);
      socket.send("never taken");
      socket.closeAfterFlush(5_000);
      clock.advance(4_999);
      expect(socket.readyState).toBe("closing");
      clock.advance(1);
      expect(await reason).toBe("forced close");
      expect(await client.take()).toEqual(["1"]);
    });

    test("a client's close frame, a cut connection and a close packet are told apart", async () => {
      await using at = Station.open();
      const frame = await at.pair(revision);
      const byFrame = ended(frame.socket);
      frame.client.ws.close(4321, "bye");
      expect(await byFrame).toBe("transport close");
      expect([frame.socket.endedBy, frame.socket.closeCode]).toEqual(["lost", 4321]);

      const packet = await at.pair(revision);
      const byPacket = ended(packet.socket);
      packet.client.send("1");
      expect(await byPacket).toBe("transport close");
      expect(packet.socket.endedBy).toBe("client");
      expect((await packet.client.closed).code).toBe(1000);

      const connected = once(at.engine, "connection");
      const wire = await WireClient.open(at.url(`EIO=${revision}&transport=websocket`));
      const [socket] = await connected;
      const byCut = ended(socket);
      wire.destroy();
      expect(await byCut).toBe("transport close");
      expect([socket.endedBy, socket.closeCode]).toEqual(["lost", 1006]);
    });

    test("a frame that is no packet: 1007", async () => {
      await using at = Station.open();
      for (const bad of ["abc", "", "7", "b!!!"]) {
        const { client, socket } = await at.pair(revision);
        const reason = ended(socket);
        client.send(bad);
        expect(await reason).toBe("parse error");
        expect(socket.endedBy).toBe("server");
        expect((await client.closed).code).toBe(1007);
      }
    });

    test("a text frame that is not UTF-8 is a parse error", async () => {
      await using at = Station.open();
      const connected = once(at.engine, "connection");
      const wire = await WireClient.open(at.url(`EIO=${revision}&transport=websocket`));
      const [socket] = await connected;
      const reason = ended(socket);
      wire.write(frameBytes(TEXT, Uint8Array.of(0x34, 0xff, 0xfe)));
      expect(await reason).toBe("parse error");
      wire.destroy();
    });

    test("a listener that throws ends its own session alone", async () => {
      await using at = Station.open();
      const faulty = await at.pair(revision);
      const other = await at.pair(revision);
      faulty.socket.on("data", () => {
        throw new Error("mine");
      });
      const fault = once(at.engine, "fault");
      const reason = ended(faulty.socket);
      faulty.client.send("4x");
      expect(await fault).toEqual([new Error("mine"), faulty.socket]);
      expect(await reason).toBe("listener fault");
      expect((await faulty.client.closed).code).toBe(1011);
      expect(other.socket.readyState).toBe("open");
    });
  });
}

test("revision 3: a binary frame must be a message", async () => {
  await using at = Station.open();
  for (const bad of [[], [1, 2, 3], [0x34]]) {
    const { client, socket } = await at.pair(3);
    const reason = ended(socket);
    client.send(Uint8Array.from(bad));
    expect(await reason).toBe("parse error");
  }
});

describe("frames over maxHttpBufferSize", () => {
  test("1009, though the server-wide limit is larger; one of exactly the limit passes", async () => {
    await using at = Station.open({ maxHttpBufferSize: 100 });
    const roomy = Bun.serve({
      ...at.engine.handler(),
      port: 0,
      websocket: { ...at.engine.handler().websocket, maxPayloadLength: 1_000_000 },
    });
    for (const [frame, code] of [
      [`4${"x".repeat(100)}`, 1009],
      [`4${"€".repeat(34)}`, 1009],
      [new Uint8Array(101), 1009],
      [`4${"€".repeat(33)}`, 0],
    ] as const) {
      const connected = once(at.engine, "connection");
      const wire = await WireClient.open(`http://127.0.0.1:${roomy.port}/engine.io/?EIO=4&transport=websocket`);
      const [socket] = await connected;
      const over = code ? ended(socket) : once(socket, "data").then(() => "data");
      await wire.write(frameBytes(typeof frame === "string" ? TEXT : 2, frame));
      expect(await over).toBe(code ? "oversize" : "data");
      if (code) expect([(await wire.next())?.code, (await wire.next())?.code]).toEqual([0, code]);
      wire.destroy();
    }
    await roomy.stop(true);
  });

  test("also where the server-wide limit strikes first", async () => {
    await using at = Station.open({ maxHttpBufferSize: 100 });
    const { client, socket } = await at.pair(4);
    const reason = ended(socket);
    client.send(`4${"x".repeat(100)}`);
    expect(await reason).toBe("oversize");
    expect([socket.endedBy, socket.closeCode, (await client.closed).code]).toEqual(["server", 1009, 1009]);
  });
});

test("a connection listener that throws ends the session it was told of", async () => {
  await using at = Station.open();
  at.engine.once("connection", () => {
    throw new Error("mine");
  });
  const fault = once(at.engine, "fault");
  const client = await at.websocket(4);
  expect((await fault)[0]).toEqual(new Error("mine"));
  expect((await client.closed).code).toBe(1011);
  expect(at.engine.sessions.size).toBe(0);
});

test("a close listener, and a fault listener, that throw are contained", async () => {
  await using at = Station.open();
  at.engine.on("fault", () => {
    throw new Error("worse");
  });
  const { client, socket } = await at.pair(4);
  const closed = once(socket, "close");
  socket.on("close", () => {
    throw new Error("mine");
  });
  client.ws.close();
  await closed;
  expect(at.engine.sessions.size).toBe(0);
  await at.websocket(4);
});

test("the engine's close ends every session, on both transports", async () => {
  await using at = Station.open();
  const { client } = await at.pair(4);
  const polling = await at.polling(3);
  at.engine.close();
  expect(at.engine.clientsCount).toBe(0);
  expect((await client.closed).code).toBe(1000);
  expect(await polling.take()).toEqual(["1"]);
});

test("a session cut by the server's stop was not ended by the client", async () => {
  await using at = Station.open();
  const { socket } = await at.pair(4);
  const reason = ended(socket);
  await at.server.stop(true);
  expect([await reason, socket.endedBy]).toEqual(["transport close", "server"]);
});
