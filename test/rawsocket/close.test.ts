import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Channel, ChannelEnd, RawTopics } from "../../src/rawsocket/endpoint.ts";
import { CLOSE, frameBytes, TEXT, WireClient, type WireFrame } from "../support/wire.ts";
import { Client } from "./client.ts";
import { clog } from "./clog.ts";
import { endpoint, Station } from "./station.ts";
import { until } from "./until.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station | undefined;
afterEach(async () => {
  await station?.stop();
  station = undefined;
});

const line = (frame: WireFrame) => (frame.opcode === CLOSE ? `close ${frame.code} ${frame.text}` : frame.text);

/** An endpoint that hands its channels and their ends to the test. */
function watched(declaration: Parameters<typeof endpoint>[0] = {}) {
  const channels: Channel<unknown>[] = [];
  const ends: ChannelEnd[] = [];
  const watched = endpoint({
    opened: (channel) => void channels.push(channel),
    closed: (_channel, end) => void ends.push(end),
    ...declaration,
  });
  return { watched, channels, ends };
}

describe("close", () => {
  test("what was owed, the last frame, then the close frame with code and reason; nothing after", async () => {
    station = Station.start(
      endpoint({
        received(channel) {
          channel.send("owed");
          channel.close(4010, "Bad message", "last");
          channel.send("too late");
          channel.close(4011, "second close", "second last");
        },
      }),
    );
    const client = await WireClient.open(station.url(), { polite: true });
    client.send("a", "b", "c");
    expect((await client.rest()).map(line)).toEqual(["owed", "last", "close 4010 Bad message"]);
  });

  test("a channel closed in `opened` is told inside the protocol, after a 101", async () => {
    station = Station.start(endpoint({ opened: (channel) => channel.close(4001, "Who are you", "last") }));
    const client = await WireClient.open(station.url(), { polite: true });
    expect(client.status).toBe(101);
    expect((await client.rest()).map(line)).toEqual(["last", "close 4001 Who are you"]);
  });

  test("nothing published reaches a channel after its last frame", async () => {
    const { watched: declared, channels } = watched();
    let publish = (_text: string) => {};
    station = Station.start({
      ...declared,
      mounted: (topics) => {
        publish = (text) => topics.publish("all", text);
      },
    });
    const client = await WireClient.open(station.url(), { polite: true });
    channels[0]?.subscribe("all");
    publish("one");
    channels[0]?.close(4000, "bye", "last");
    publish("two");
    expect((await client.rest()).map(line)).toEqual(["one", "last", "close 4000 bye"]);
  });

  test("a reason is cut to 123 bytes of UTF-8 between two characters", async () => {
    station = Station.start(endpoint({ opened: (channel) => channel.close(4000, `${"é".repeat(60)}x😀 and more`) }));
    const client = await WireClient.open(station.url(), { polite: true });
    const [frame] = await client.rest();
    expect(frame?.text).toBe(`${"é".repeat(60)}x`);
  });

  test("`closed` is told once, with who closed", async () => {
    const { watched: declared, channels, ends } = watched();
    station = Station.start(declared);
    const leaving = await Client.open(station.url());
    leaving.close(4321);
    await until(() => ends.length === 1);
    const cut = await WireClient.open(station.url());
    cut.destroy();
    await until(() => ends.length === 2);
    const put = await Client.open(station.url());
    channels[2]?.close(4000, "put out");
    channels[2]?.close(4001, "again");
    expect(await put.closed).toEqual({ code: 4000, reason: "put out" });
    expect(ends).toEqual([
      { code: 4321, reason: "", by: "client" },
      { code: 1006, reason: "", by: "client" },
      { code: 4000, reason: "put out", by: "server" },
    ]);
    expect(await station.metric("rawsocket_closes_total", { by: "client", code: "other" })).toBe(1);
    expect(await station.metric("rawsocket_closes_total", { by: "server", code: "4000" })).toBe(1);
    expect(station.observed).toBe(0);
    expect(station.mount.size).toBe(0);
    // A code the endpoint declares has a series of its own, whoever sends it.
    (await Client.open(station.url())).close(4007);
    await until(() => ends.length === 4);
    expect(await station.metric("rawsocket_closes_total", { by: "client", code: "4007" })).toBe(1);
  });

  test("a peer that never answers the close is cut off", async () => {
    const { watched: declared, channels } = watched();
    station = Station.start(declared);
    const client = await WireClient.open(station.url());
    channels[0]?.close(4000, "bye");
    expect(line((await client.next())!)).toBe("close 4000 bye");
    // It goes on talking, until the system says that nobody is there any more.
    const talk = setInterval(() => client.send("still here"), 50);
    await client.gone.finally(() => clearInterval(talk));
  });
});

describe("close while the outbox is full", () => {
  test("a reader that goes on reading gets everything, the last frame and the close", async () => {
    const { watched: declared, channels } = watched({ limits: { maxOutboxBytes: 4_000_000 } });
    station = Station.start(declared);
    const client = await WireClient.open(station.url(), { polite: true });
    client.pause();
    const channel = channels[0]!;
    const sent = await clog(channel, 2_000_000);
    channel.close(4000, "bye", "last");
    expect(channel.open).toBe(false);
    client.resume();
    const lines = (await client.rest()).map(line);
    expect(lines.length).toBe(sent + 2);
    expect(lines.slice(-2)).toEqual(["last", "close 4000 bye"]);
  });

  test("while the close waits, the channel is over: no frame, no task, not listed", async () => {
    const seen: string[] = [];
    let topics: RawTopics<unknown> | undefined;
    const { watched: declared, channels } = watched({
      mounted: (given) => {
        topics = given;
      },
      received: (_channel, frame) => void seen.push(String(frame)),
      limits: { maxOutboxBytes: 4_000_000 },
    });
    station = Station.start(declared);
    const client = await WireClient.open(station.url(), { polite: true });
    client.pause();
    const channel = channels[0]!;
    channel.after(1_000, () => seen.push("task"));
    await clog(channel, 2_000_000);
    channel.close(4000, "bye", "last");
    expect([...topics!.channels()]).toEqual([]);
    await client.write(frameBytes(TEXT, "too late"));
    await Bun.sleep(10);
    station.clock.advance(1_500);
    expect(seen).toEqual([]);
    client.resume();
    expect((await client.rest()).slice(-2).map(line)).toEqual(["last", "close 4000 bye"]);
  });

  test("a peer that is held up in its own sending is read again, so that it sees the close", async () => {
    const { watched: declared, channels } = watched({
      received: () => new Promise(() => {}),
      limits: { maxOutboxBytes: 4_000_000 },
    });
    station = Station.start(declared);
    const client = await WireClient.open(station.url(), { polite: true });
    client.pause();
    await clog(channels[0]!, 2_000_000);
    const frame = frameBytes(TEXT, "x".repeat(50_000));
    const written = client.write(Buffer.concat(Array.from({ length: 400 }, () => frame)));
    await until(async () => (await station?.metric("rawsocket_frames_received_total"))! >= 64);
    channels[0]?.close(4000, "bye", "last");
    await written;
    client.resume();
    expect((await client.rest()).slice(-2).map(line)).toEqual(["last", "close 4000 bye"]);
  });

  test("a peer that never reads is cut off after 5 s", async () => {
    const { watched: declared, channels, ends } = watched({ limits: { maxOutboxBytes: 4_000_000 } });
    station = Station.start(declared);
    const client = await WireClient.open(station.url());
    client.pause();
    await clog(channels[0]!, 2_000_000);
    channels[0]?.close(4000, "bye", "last");
    station.clock.advance(4_999);
    expect(station.mount.size).toBe(1);
    station.clock.advance(1);
    await until(() => station?.mount.size === 0);
    expect(ends).toEqual([{ code: 4000, reason: "bye", by: "server" }]);
  });
});

describe("finish", () => {
  test("the frames received are handled and answered before the close; later ones are not read", async () => {
    const gate = Promise.withResolvers<void>();
    const { watched: declared, channels } = watched({
      async received(channel, frame) {
        await gate.promise;
        channel.send(`done ${frame}`);
      },
    });
    station = Station.start(declared);
    const client = await WireClient.open(station.url(), { polite: true });
    client.send("1", "2");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 2);
    const finished = channels[0]!.finish(2_000, 4007, "bye", "last");
    client.send("3");
    await Bun.sleep(10);
    expect(await station.metric("rawsocket_frames_received_total")).toBe(2);
    gate.resolve();
    await finished;
    expect((await client.rest()).map(line)).toEqual(["done 1", "done 2", "last", "close 4007 bye"]);
  });

  test("an idle channel is closed at once", async () => {
    const { watched: declared, channels } = watched();
    station = Station.start(declared);
    const client = await WireClient.open(station.url(), { polite: true });
    await channels[0]!.finish(2_000, 4007, "bye");
    expect((await client.rest()).map(line)).toEqual(["close 4007 bye"]);
  });

  test("past its time the channel is closed, and what was received is still handled", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    const { watched: declared, channels } = watched({
      async received(channel, frame) {
        await gate.promise;
        seen.push(`${frame} ${channel.open}`);
        channel.send("unheard");
      },
      closed: () => void seen.push("closed"),
    });
    station = Station.start(declared);
    const client = await WireClient.open(station.url(), { polite: true });
    client.send("1", "2");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 2);
    const finished = channels[0]!.finish(250, 4008, "bye", "last");
    station.clock.advance(250);
    await finished;
    expect((await client.rest()).map(line)).toEqual(["last", "close 4008 bye"]);
    gate.resolve();
    await until(() => seen.includes("closed"));
    expect(seen).toEqual(["1 false", "2 false", "closed"]);
  });

  test("a peer that leaves meanwhile ends the wait", async () => {
    const gate = Promise.withResolvers<void>();
    const { watched: declared, channels, ends } = watched({ received: () => gate.promise });
    station = Station.start(declared);
    const client = await WireClient.open(station.url());
    client.send("1");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 1);
    const finished = channels[0]!.finish(2_000, 4008, "bye");
    client.destroy();
    await finished;
    expect(ends).toEqual([]);
    gate.resolve();
    await until(() => ends.length === 1);
    expect(ends[0]?.by).toBe("client");
  });
});

describe("after", () => {
  test("runs once when its time has come, and not after the channel's end or a cancel", async () => {
    const ran: string[] = [];
    const { watched: declared, channels } = watched();
    station = Station.start(declared);
    const client = await Client.open(station.url());
    const channel = channels[0]!;
    channel.after(1_000, () => ran.push("one"));
    const cancel = channel.after(1_000, () => ran.push("cancelled"));
    channel.after(5_000, () => ran.push("after the end"));
    cancel();
    station.clock.advance(2_000);
    expect(ran).toEqual(["one"]);
    channel.close(4000, "bye");
    channel.after(1, () => ran.push("set after the end"));
    await client.closed;
    station.clock.advance(10_000);
    expect(ran).toEqual(["one"]);
  });

  test("a task that throws goes to `failed`", async () => {
    const faults: unknown[] = [];
    const { watched: declared, channels } = watched({ failed: (_channel, error) => void faults.push(error) });
    station = Station.start(declared);
    await Client.open(station.url());
    const fault = new Error("in a task");
    channels[0]?.after(10, () => {
      throw fault;
    });
    station.clock.advance(10);
    expect(faults).toEqual([fault]);
    expect(channels[0]?.open).toBe(true);
  });
});
