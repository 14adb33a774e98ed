import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { ENDINGS } from "../../../src/socketio/engine/ending.ts";
import { echo, ended, pack, polled, REVISIONS, Station } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

for (const revision of REVISIONS) {
  describe(`revision ${revision}`, () => {
    test("a poll waits until there is something", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const taken = client.take();
      const socket = at.session(client.sid);
      // A request that is answered later than the poll was sent: by then the poll is waiting.
      await client.send("6");
      socket.send("late");
      expect(await taken).toEqual(["4late"]);
    });

    test("what is written in one go leaves in one answer", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const taken = client.take();
      await polled(client, socket);
      socket.send("a").send("b").send("c");
      expect(socket.transport.writable).toBe(false);
      expect(await taken).toEqual(["4a", "4b", "4c"]);
    });

    test("a second poll ends the session: the first gets a close packet, the second 400", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const reason = ended(socket);
      const first = client.poll();
      await polled(client, socket);
      expect((await client.poll()).status).toBe(400);
      expect(await (await first).text()).toBe(pack(revision, "1"));
      expect(await reason).toBe("transport error");
      expect((await client.poll()).status).toBe(400);
    });

    test("a second POST while the first is being read ends the session with 400", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const reason = ended(at.session(client.sid));
      const slow = connect(at.server.port as number, "127.0.0.1");
      slow.on("error", () => {});
      await once(slow, "connect");
      slow.write(`POST /engine.io/?${client.query} HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n4`);
      let status = 200;
      while (status === 200) ({ status } = await client.send("6"));
      expect(status).toBe(400);
      expect(await reason).toBe("transport error");
      slow.destroy();
    });

    test("a poll that is cut off ends the session as lost", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const reason = ended(socket);
      const abort = new AbortController();
      const poll = client.poll({ signal: abort.signal }).catch((error: Error) => error.name);
      await polled(client, socket);
      abort.abort();
      expect(await poll).toBe("AbortError");
      expect(await reason).toBe("transport error");
      expect(socket.endedBy).toBe("lost");
      expect((await client.poll()).status).toBe(400);
    });

    test("a POST that is cut off ends the session as lost", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const reason = ended(socket);
      const cut = connect(at.server.port as number, "127.0.0.1");
      await once(cut, "connect");
      cut.end(`POST /engine.io/?${client.query} HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n4`);
      expect(await reason).toBe("transport error");
      expect(socket.endedBy).toBe("lost");
      cut.destroy();
    });

    test("a close packet ends the session; the waiting poll gets a noop", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const reason = ended(socket);
      const poll = client.poll();
      await polled(client, socket);
      expect(await (await client.send("1")).text()).toBe("ok");
      expect(await (await poll).text()).toBe(pack(revision, "6"));
      expect(await reason).toBe("transport close");
      expect(socket.endedBy).toBe("client");
      expect((await client.poll()).status).toBe(400);
    });

    test("callbacks of write run when a poll has taken the packets", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const order: string[] = [];
      socket.on("drain", () => order.push("drain"));
      socket.write("a", {}, () => order.push("a"));
      socket.write("b", undefined, () => order.push("b"));
      expect([order, socket.bufferedBytes]).toEqual([[], 4]);
      await client.take();
      expect([order, socket.bufferedBytes]).toEqual([["a", "b", "drain"], 0]);
    });
  });
}

test("a poll outlives the idle timeout of the server", async () => {
  // Bun counts in steps of 4 s: of 5 s at least 4 are left for a request to arrive, of fewer perhaps none.
  const idleTimeout = 5;
  const idle = Bun.serve({ port: 0, idleTimeout, fetch: () => new Promise<Response>(() => {}) });
  await using at = Station.open();
  const short = Bun.serve({ ...at.engine.handler(), port: 0, idleTimeout });
  const base = `http://127.0.0.1:${short.port}/engine.io/?EIO=4&transport=polling`;
  const { sid } = JSON.parse((await (await fetch(base)).text()).slice(1));
  const poll = fetch(`${base}&sid=${sid}`);
  // Shows when the time of a request that is not a poll is over.
  await fetch(`http://127.0.0.1:${idle.port}`).catch(() => {});
  at.session(sid).send("late");
  expect(await (await poll).text()).toBe("4late");
  await Promise.all([idle.stop(true), short.stop(true)]);
});

describe("limits", () => {
  const LIMIT = 1000;

  test("a body of exactly the limit passes", async () => {
    await using at = Station.open({ maxHttpBufferSize: LIMIT });
    echo(at.engine);
    const client = await at.polling(4);
    expect((await client.send(`4${"x".repeat(LIMIT - 1)}`)).status).toBe(200);
    expect(await client.take()).toEqual([`4${"x".repeat(LIMIT - 1)}`]);
  });

  test("a larger one, by its content length, gets 413 and ends the session", async () => {
    await using at = Station.open({ maxHttpBufferSize: LIMIT });
    const client = await at.polling(4);
    const socket = at.session(client.sid);
    const reason = ended(socket);
    expect((await client.send(`4${"x".repeat(LIMIT)}`)).status).toBe(413);
    expect(await reason).toBe("oversize");
    expect([socket.endedBy, socket.closeCode]).toEqual(["server", ENDINGS.oversize.code]);
    expect((await client.poll()).status).toBe(400);
  });

  test("bytes count, not characters", async () => {
    await using at = Station.open({ maxHttpBufferSize: LIMIT });
    const client = await at.polling(4);
    expect((await client.send(`4${"€".repeat(LIMIT / 2)}`)).status).toBe(413);
  });

  test("a body without a length is stopped while it comes in", async () => {
    await using at = Station.open({ maxHttpBufferSize: LIMIT });
    const client = await at.polling(4);
    const reason = ended(at.session(client.sid));
    const endless = connect(at.server.port as number, "127.0.0.1");
    endless.on("error", () => {});
    await once(endless, "connect");
    endless.write(`POST /engine.io/?${client.query} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n`);
    // Never ends by itself; the answer must come before.
    endless.write(`7d0\r\n${"x".repeat(2000)}\r\n`);
    const [answer] = (await once(endless, "data")) as [Buffer];
    expect(answer.toString()).toStartWith("HTTP/1.1 413 ");
    expect(await reason).toBe("oversize");
    endless.destroy();
  });

  test("a body in chunks under the limit passes", async () => {
    await using at = Station.open({ maxHttpBufferSize: LIMIT });
    echo(at.engine);
    const client = await at.polling(4);
    const body = new ReadableStream({
      start(controller) {
        for (const chunk of ["4", "in ", "chunks"]) controller.enqueue(Buffer.from(chunk));
        controller.close();
      },
    });
    expect((await at.fetch(client.query, { method: "POST", body })).status).toBe(200);
    expect(await client.take()).toEqual(["4in chunks"]);
  });

  test("an outbox that is not taken ends the session as a slow reader, who is told at its next poll", async () => {
    await using at = Station.open({ maxOutboxBytes: 100 });
    const slow: unknown[] = [];
    at.engine.on("slow", (socket) => slow.push(socket.id));
    const client = await at.polling(4);
    const socket = at.session(client.sid);
    const reason = ended(socket);
    for (let i = 0; i < 10; i++) socket.send("123456789");
    expect([socket.readyState, socket.bufferedBytes]).toEqual(["open", 100]);
    socket.send("");
    expect(await reason).toBe("slow reader");
    expect([socket.endedBy, socket.bufferedBytes, slow]).toEqual(["server", 0, [client.sid]]);
    expect(await client.take()).toEqual(["1"]);
    expect((await client.poll()).status).toBe(400);
  });

  test("more than the outbox holds passes when a poll is waiting for it", async () => {
    await using at = Station.open({ maxOutboxBytes: 100 });
    const client = await at.polling(4);
    const socket = at.session(client.sid);
    const taken = client.take();
    await polled(client, socket);
    socket.send("x".repeat(500));
    expect(await taken).toEqual([`4${"x".repeat(500)}`]);
    expect(socket.readyState).toBe("open");
  });
});
