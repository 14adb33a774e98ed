import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Channel, ChannelEnd, RawTopics } from "../../src/rawsocket/endpoint.ts";
import { frameBytes, PING, WireClient } from "../support/wire.ts";
import { Client } from "./client.ts";
import { clog, waiting } from "./clog.ts";
import { endpoint, Station } from "./station.ts";
import { until } from "./until.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station | undefined;
afterEach(async () => {
  await station?.stop();
  station = undefined;
});

const megabyte = 1_048_576;

describe("a reader that stops reading", () => {
  test("is cut off when too much waits; memory stays bounded and other channels miss nothing", async () => {
    const channels: Channel<unknown>[] = [];
    const ends: [Channel<unknown>, ChannelEnd][] = [];
    station = Station.start(
      endpoint({
        opened: (channel) => void channels.push(channel),
        closed: (channel, end) => void ends.push([channel, end]),
        limits: { maxOutboxBytes: megabyte },
      }),
    );
    const stuck = await WireClient.open(station.url());
    stuck.pause();
    const reader = await Client.open(station.url());
    const [stuckChannel, readerChannel] = channels as [Channel<unknown>, Channel<unknown>];
    let most = 0;
    let sent = 0;
    for (; stuckChannel.open; sent++) {
      const text = `${sent} ${"x".repeat(20_000)}`;
      stuckChannel.send(text);
      readerChannel.send(text);
      most = Math.max(most, waiting(stuckChannel));
      // The reader shares this thread: give it time to read.
      if (sent % 10 === 0) await reader.received(sent);
    }
    expect(most).toBeLessThan(megabyte + 25_000);
    const texts = await reader.received(sent);
    expect(texts.map((text) => Number.parseInt(text, 10))).toEqual(Array.from({ length: sent }, (_, i) => i));
    // Sends to the one that is ending do nothing.
    for (let i = 0; i < 100; i++) stuckChannel.send("x".repeat(20_000));
    expect(waiting(stuckChannel)).toBeLessThan(megabyte + 25_000);
    station.clock.advance(5_000);
    await until(() => ends.length === 1);
    expect(ends).toEqual([[stuckChannel, { code: 4009, reason: "Too slow", by: "server" }]]);
    expect(await station.metric("rawsocket_slow_readers_total")).toBe(1);
    expect(readerChannel.open).toBe(true);
  });

  test("is told why when it reads again in time", async () => {
    let channel: Channel<unknown> | undefined;
    station = Station.start(
      endpoint({
        opened: (opened) => {
          channel = opened;
        },
      }),
    );
    const client = await WireClient.open(station.url(), { polite: true });
    client.pause();
    for (let i = 0; channel?.open; i++) {
      channel.send("x".repeat(20_000));
      if (i % 10 === 0) await Bun.sleep(0);
    }
    client.resume();
    const last = (await client.rest()).slice(-2);
    expect(last[0]?.text).toBe('{"bye":4009,"reason":"Too slow"}');
    expect([last[1]?.code, last[1]?.text]).toEqual([4009, "Too slow"]);
  });

  test("is found among the receivers of published frames, at the next beat", async () => {
    const channels: Channel<unknown>[] = [];
    const ends: ChannelEnd[] = [];
    let topics: RawTopics<unknown> | undefined;
    station = Station.start(
      endpoint({
        mounted: (given) => {
          topics = given;
        },
        opened(channel) {
          channels.push(channel);
          channel.subscribe("all");
        },
        closed: (_channel, end) => void ends.push(end),
      }),
    );
    const stuck = await WireClient.open(station.url());
    stuck.pause();
    const reader = await Client.open(station.url());
    let sent = 0;
    for (; waiting(channels[0]!) < 1.5 * megabyte; sent++) {
      topics?.publish("all", `${sent} ${"x".repeat(20_000)}`);
      if (sent % 10 === 0) await reader.received(sent);
    }
    expect(channels[0]?.open).toBe(true);
    station.clock.advance(1_000);
    expect(channels[0]?.open).toBe(false);
    for (let i = 0; i < 50; i++) topics?.publish("all", `${sent++} ${"x".repeat(20_000)}`);
    expect(waiting(channels[0]!)).toBeLessThan(1.6 * megabyte);
    await reader.received(sent);
    station.clock.advance(5_000);
    await until(() => ends.length === 1);
    expect(ends[0]).toEqual({ code: 4009, reason: "Too slow", by: "server" });
    const texts = await reader.received(sent);
    expect(texts.map((text) => Number.parseInt(text, 10))).toEqual(Array.from({ length: sent }, (_, i) => i));
  });

  test("is counted even when one burst of published frames passes the limit of Bun itself", async () => {
    const channels: Channel<unknown>[] = [];
    const ends: ChannelEnd[] = [];
    let topics: RawTopics<unknown> | undefined;
    station = Station.start(
      endpoint({
        mounted: (given) => {
          topics = given;
        },
        opened(channel) {
          channels.push(channel);
          channel.subscribe("all");
        },
        closed: (_channel, end) => void ends.push(end),
      }),
    );
    const stuck = await WireClient.open(station.url());
    stuck.pause();
    const bystander = await Client.open(station.url());
    for (let i = 0; i < 1_000 && channels[0]?.open; i++) {
      topics?.publish("all", "x".repeat(50_000));
      expect(waiting(channels[0]!)).toBeLessThan(5 * megabyte);
      // The bystander shares this thread: give it time to read.
      if (i % 4 === 0) await bystander.received(i);
    }
    await until(() => ends.length === 1);
    expect(ends[0]).toEqual({ code: 4009, reason: "Too slow", by: "server" });
    expect(await station.metric("rawsocket_slow_readers_total")).toBe(1);
    expect(channels[1]?.open).toBe(true);
  });

  test("a flood of pings whose pongs are not read is cut off as well", async () => {
    const ends: ChannelEnd[] = [];
    station = Station.start(endpoint({ closed: (_channel, end) => void ends.push(end) }));
    const client = await WireClient.open(station.url());
    client.pause();
    const pings = Buffer.concat(Array.from({ length: 1_000 }, () => frameBytes(PING, "x".repeat(125))));
    let flooding = true;
    void client.gone.then(() => {
      flooding = false;
    });
    while (flooding) {
      void client.write(pings);
      await Bun.sleep(1);
    }
    await until(() => ends.length === 1);
    expect(station.mount.size).toBe(0);
  });
});

test("a full outbox below the limit is no reason to end", async () => {
  let channel: Channel<unknown> | undefined;
  station = Station.start(
    endpoint({
      opened: (opened) => {
        channel = opened;
      },
    }),
  );
  const client = await WireClient.open(station.url(), { polite: true });
  client.pause();
  const sent = await clog(channel!, 500_000);
  station.clock.advance(1_000);
  channel?.send("end");
  client.resume();
  for (let i = 0; i < sent; i++) expect((await client.next())?.text.length).toBe(50_000);
  expect((await client.next())?.text).toBe("end");
  expect(channel?.open).toBe(true);
});

describe("sendAll", () => {
  test("frames come in the order of the calls, whichever way they were sent, also from before the upgrade", async () => {
    let channel: Channel<unknown> | undefined;
    station = Station.start(
      endpoint({
        arriving: (arriving) => arriving.sendAll(["early 1", "early 2"]),
        opened: (opened) => {
          channel = opened;
        },
      }),
    );
    const client = await Client.open(station.url());
    const expected = ["early 1", "early 2"];
    for (let i = 0; i < 50; i++) {
      channel?.send(`${i} a`);
      channel?.sendAll([`${i} b`, `${i} c ${"x".repeat(i * 1_000)}`, `${i} d`]);
      expected.push(`${i} a`, `${i} b`, `${i} c ${"x".repeat(i * 1_000)}`, `${i} d`);
    }
    channel?.sendAll([]);
    expect(await client.received(expected.length)).toEqual(expected);
    expect(await station.metric("rawsocket_frames_sent_total")).toBe(expected.length);
    channel?.close(4000, "bye");
    channel?.sendAll(["late", "later"]);
    expect((await client.closed).code).toBe(4000);
    expect(client.texts).toEqual(expected);
  });

  test("cuts off who does not read, like send", async () => {
    let channel: Channel<unknown> | undefined;
    station = Station.start(
      endpoint({
        opened: (opened) => {
          channel = opened;
        },
        limits: { maxOutboxBytes: megabyte },
      }),
    );
    const stuck = await WireClient.open(station.url());
    stuck.pause();
    while (channel?.open) {
      channel.sendAll(["x".repeat(20_000), "x".repeat(20_000)]);
      await Bun.sleep(0);
    }
    expect(await station.metric("rawsocket_slow_readers_total")).toBe(1);
    stuck.destroy();
  });
});
