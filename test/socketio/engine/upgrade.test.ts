import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { WireClient } from "../../support/wire.ts";
import { echo, ended, Frames, polled, REVISIONS, Station } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

for (const revision of REVISIONS) {
  describe(`revision ${revision}`, () => {
    test("probe, noop for the waiting poll, upgrade", async () => {
      await using at = Station.open();
      echo(at.engine);
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const poll = client.take();
      await polled(client, socket);
      const frames = client.websocket();
      frames.send("2probe");
      expect(await frames.next()).toBe("3probe");
      expect(await poll).toEqual(["6"]);
      expect(socket.transport.name).toBe("polling");
      frames.send("5", "4hello");
      expect(await frames.next()).toBe("4hello");
      expect(socket.transport.name).toBe("websocket");
    });

    test("a poll that comes between probe and upgrade is answered at once", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      expect(await client.take()).toEqual(["6"]);
      at.session(client.sid).send("x");
      expect(await client.take()).toEqual(["4x"]);
    });

    test("packets in flight in both directions arrive once and in order", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const heard: unknown[] = [];
      socket.on("data", (data) => heard.push(data));
      let sent = 0;
      const got: unknown[] = [];
      const say = () => socket.send(String(sent++));

      say();
      got.push(...(await client.take()));
      await client.send("4a", "4b");
      const frames = client.websocket();
      say();
      frames.send("2probe");
      expect(await frames.next()).toBe("3probe");
      say();
      got.push(...(await client.take()));
      await client.send("4c");
      // The client has stopped polling; these wait for the WebSocket.
      say();
      const callback = new Promise<void>((resolve) => socket.send(String(sent++), {}, resolve));
      frames.send("5", "4d");
      say();
      got.push(...(await frames.take(2)));
      await callback;
      say();
      got.push(...(await frames.take(2)));
      expect(got).toEqual(Array.from({ length: sent }, (_, i) => `4${i}`));
      frames.send("4e");
      while (heard.length < 5) await new Promise((resolve) => socket.once("data", resolve));
      expect(heard).toEqual(["a", "b", "c", "d", "e"]);
    });

    test("binary that waited on polling leaves as a binary frame", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      at.session(client.sid).send(Buffer.of(1, 2));
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      frames.send("5");
      expect(await frames.next()).toEqual(Uint8Array.from(revision === 3 ? [4, 1, 2] : [1, 2]));
    });

    test("a poll still waiting when the upgrade comes is answered with a noop", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const frames = client.websocket();
      frames.send("2probe", "5");
      await frames.next();
      const { status } = await client.poll();
      expect([200, 400]).toContain(status);
    });

    test("polls after the upgrade get 400, and harm nothing", async () => {
      await using at = Station.open();
      const { client, socket } = await at.upgraded(revision);
      const response = await at.fetch(`EIO=${revision}&transport=polling&sid=${socket.id}`);
      expect([response.status, await response.json()]).toEqual([400, { code: 3, message: "Bad request" }]);
      socket.send("alive");
      expect(await client.next()).toBe("4alive");
    });

    test("a second WebSocket, during or after, is let in and closed, and harms nothing", async () => {
      await using at = Station.open();
      echo(at.engine);
      const client = await at.polling(revision);
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      expect((await client.websocket().closed).code).toBe(1008);
      frames.send("5");
      expect((await client.websocket().closed).code).toBe(1008);
      frames.send("4hello");
      expect(await frames.next()).toBe("4hello");
    });

    test("a session that began on a WebSocket takes neither a poll nor another WebSocket", async () => {
      await using at = Station.open();
      const { client, socket } = await at.pair(revision);
      expect((await at.fetch(`EIO=${revision}&transport=polling&sid=${socket.id}`)).status).toBe(400);
      const second = new Frames(at.url(`EIO=${revision}&transport=websocket&sid=${socket.id}`));
      expect((await second.closed).code).toBe(1008);
      socket.send("alive");
      expect(await client.next()).toBe("4alive");
    });

    test("a WebSocket that does not begin with a probe is closed; the session stays on polling", async () => {
      await using at = Station.open();
      echo(at.engine);
      for (const frame of ["5", "4hello", "2", "x", Uint8Array.of(1)]) {
        const client = await at.polling(revision);
        const frames = client.websocket();
        frames.send(frame);
        expect((await frames.closed).code).toBe(1007);
        await client.send("4still here");
        expect(await client.take()).toEqual(["4still here"]);
      }
    });

    test("a WebSocket given up after the probe leaves the session on polling, free to try again", async () => {
      await using at = Station.open();
      echo(at.engine);
      const client = await at.polling(revision);
      const first = client.websocket();
      first.send("2probe");
      await first.next();
      first.ws.close();
      await first.closed;
      await client.send("4still here");
      expect(await client.take()).toEqual(["4still here"]);
      const second = client.websocket();
      second.send("2probe");
      expect(await second.next()).toBe("3probe");
      second.send("5", "4there");
      expect(await second.next()).toBe("4there");
    });

    test("one that takes longer than upgradeTimeout is cancelled", async () => {
      const clock = new ManualClock();
      await using at = Station.open({ clock, upgradeTimeout: 10_000 });
      const client = await at.polling(revision);
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      clock.advance(9_999);
      expect(frames.ws.readyState).toBe(WebSocket.OPEN);
      clock.advance(1);
      expect((await frames.closed).code).toBe(1000);
      expect(at.session(client.sid).readyState).toBe("open");
    });

    test("a session that ends takes its probe along", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      at.session(client.sid).terminate(1012);
      expect((await frames.closed).code).toBe(1012);
      expect(await client.take()).toEqual(["1"]);
    });

    test("closing during an upgrade waits for the client to arrive, then closes behind the last packet", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const reason = ended(socket);
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      socket.send("last");
      socket.close();
      frames.send("5");
      expect(await frames.next()).toBe("4last");
      expect((await frames.closed).code).toBe(1000);
      expect(await reason).toBe("forced close");
    });

    test("closing during an upgrade waits for the client even when there is nothing left to send", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const socket = at.session(client.sid);
      const frames = client.websocket();
      frames.send("2probe");
      await frames.next();
      socket.close();
      expect(socket.readyState).toBe("closing");
      frames.send("5");
      expect((await frames.closed).code).toBe(1000);
    });

    test("a handshake of an upgrade that fails leaves the session free to try again", async () => {
      await using at = Station.open();
      const client = await at.polling(revision);
      const url = at.url(client.query.replace("polling", "websocket"));
      const broken = await WireClient.open(url, { headers: { "Sec-WebSocket-Key": null } });
      expect(broken.status).toBe(400);
      const frames = client.websocket();
      frames.send("2probe");
      expect(await frames.next()).toBe("3probe");
    });

    test("the heartbeat goes on", async () => {
      const clock = new ManualClock();
      await using at = Station.open({ clock });
      const { client, socket } = await at.upgraded(revision);
      clock.advance(25_000);
      if (revision === 3) client.send("2");
      expect(await client.next()).toBe(revision === 3 ? "3" : "2");
      clock.advance(45_000);
      expect(socket.readyState).toBe("closed");
    });
  });
}
