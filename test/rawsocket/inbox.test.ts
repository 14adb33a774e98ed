import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Inbox } from "../../src/rawsocket/inbox.ts";
import { Random } from "../support/random.ts";
import { frameBytes, TEXT, WireClient } from "../support/wire.ts";
import { Client } from "./client.ts";
import { endpoint, Station } from "./station.ts";
import { settled, until } from "./until.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station | undefined;
afterEach(async () => {
  await station?.stop();
  station = undefined;
});

describe("serial inbox", () => {
  test("frames of one socket are handled one after the other, in order, however long each takes", async () => {
    const random = new Random(7);
    let running = 0;
    let most = 0;
    station = Station.start(
      endpoint({
        async received(channel, frame) {
          most = Math.max(most, ++running);
          // Some handlers return at once, some after a microtask, some after turns of the event loop.
          const turns = random.below(4);
          for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
          running--;
          channel.send(String(frame));
        },
      }),
    );
    const client = await Client.open(station.url());
    const sent = Array.from({ length: 500 }, (_, i) => `frame ${i}`);
    for (const text of sent) client.send(text);
    expect(await client.received(500)).toEqual(sent);
    expect(most).toBe(1);
  });

  test("handlers that need no time and handlers that do keep one order", async () => {
    station = Station.start(
      endpoint({
        received(channel, frame) {
          const text = String(frame);
          if (Number(text) % 3 !== 0) return channel.send(text);
          return new Promise((resolve) => setImmediate(resolve)).then(() => channel.send(text));
        },
      }),
    );
    const client = await Client.open(station.url());
    const sent = Array.from({ length: 300 }, (_, i) => String(i));
    for (const text of sent) client.send(text);
    expect(await client.received(300)).toEqual(sent);
  });

  test("one socket's slow handler holds up no other socket", async () => {
    const gate = Promise.withResolvers<void>();
    station = Station.start(
      endpoint({
        async received(channel, frame) {
          if (frame === "wait") await gate.promise;
          channel.send(String(frame));
        },
      }),
    );
    const slow = await Client.open(station.url());
    const other = await Client.open(station.url());
    slow.send("wait");
    other.send("now");
    expect(await other.next()).toBe("now");
    expect(slow.texts).toEqual([]);
    gate.resolve();
    expect(await slow.next()).toBe("wait");
  });

  test("frames wait until `opened` has resolved", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    station = Station.start(
      endpoint({
        async opened() {
          await gate.promise;
          seen.push("opened");
        },
        received(channel, frame) {
          seen.push(String(frame));
          channel.send("done");
        },
      }),
    );
    const client = await Client.open(station.url());
    client.send("early");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 1);
    expect(seen).toEqual([]);
    gate.resolve();
    await client.next();
    expect(seen).toEqual(["opened", "early"]);
  });

  test("10,000 frames against a slow handler: the socket is not read while the inbox is full, nothing is lost", async () => {
    const gate = Promise.withResolvers<void>();
    const handled: number[] = [];
    let received = 0;
    station = Station.start(
      endpoint({
        async received(channel, frame) {
          await gate.promise;
          handled.push(Number.parseInt(String(frame), 10));
          if (handled.length === 10_000) channel.send("all");
        },
        limits: { maxInbox: 64 },
      }),
    );
    const client = await WireClient.open(station.url());
    const frames = Array.from({ length: 10_000 }, (_, i) => frameBytes(TEXT, `${i} ${"x".repeat(1_000)}`));
    const written = client.write(Buffer.concat(frames));
    const counted = async () => {
      received = (await station?.metric("rawsocket_frames_received_total")) ?? 0;
    };
    await until(async () => {
      await counted();
      return received >= 64;
    });
    await settled(() => {
      void counted();
      return received;
    });
    // One read brings at most 512 KiB, which is about 500 of these frames.
    expect(received).toBeLessThan(64 + 600);
    gate.resolve();
    await written;
    expect((await client.next())?.text).toBe("all");
    expect(handled).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
  });

  test("after close() no waiting frame is handled", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    const ended = Promise.withResolvers<void>();
    station = Station.start(
      endpoint({
        async received(channel, frame) {
          seen.push(String(frame));
          await gate.promise;
          channel.close(4000, "enough");
        },
        closed: () => ended.resolve(),
      }),
    );
    const client = await WireClient.open(station.url(), { polite: true });
    client.send("first", "second", "third");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 3);
    gate.resolve();
    expect((await client.rest()).map((frame) => frame.code)).toEqual([4000]);
    await ended.promise;
    expect(seen).toEqual(["first"]);
  });

  test("`closed` follows the handler that closes its channel, also one that needs no time", async () => {
    const seen: string[] = [];
    station = Station.start(
      endpoint({
        received(channel) {
          channel.close(4000, "bye");
          seen.push("handled");
        },
        closed: () => void seen.push("closed"),
      }),
    );
    const client = await Client.open(station.url());
    client.send("x");
    await client.closed;
    expect(seen).toEqual(["handled", "closed"]);
  });

  test("frames that came before the client's own close are handled, then `closed` is called", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    const ended = Promise.withResolvers<void>();
    station = Station.start(
      endpoint({
        async received(channel, frame) {
          await gate.promise;
          seen.push(`${frame} ${channel.open ? "open" : "closed"}`);
        },
        closed(_channel, end) {
          seen.push(`end ${end.code} by ${end.by}`);
          ended.resolve();
        },
      }),
    );
    const client = await Client.open(station.url());
    client.send("one");
    client.send("two");
    client.close(1000);
    await client.closed;
    gate.resolve();
    await ended.promise;
    expect(seen).toEqual(["one closed", "two closed", "end 1000 by client"]);
  });
});

test("the queue gives back what was put in, in order, over many rounds", () => {
  const inbox = new Inbox();
  let put = 0;
  let taken = 0;
  for (let round = 1; round <= 60; round++) {
    for (let i = 0; i < round * 50; i++) inbox.add(String(put++));
    for (let i = 0; i < round * 49; i++) expect(inbox.take()).toBe(String(taken++));
  }
  expect(inbox.length).toBe(put - taken);
  while (taken < put) expect(inbox.take()).toBe(String(taken++));
  expect(inbox.take()).toBeUndefined();
  expect(inbox.length).toBe(0);
});
