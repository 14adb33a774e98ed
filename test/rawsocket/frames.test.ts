import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ChannelEnd } from "../../src/rawsocket/endpoint.ts";
import { BINARY, CLOSE, frameBytes, TEXT, WireClient } from "../support/wire.ts";
import { Client } from "./client.ts";
import { endpoint, Station } from "./station.ts";
import { until } from "./until.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station | undefined;
afterEach(async () => {
  await station?.stop();
  station = undefined;
});

describe("frames", () => {
  test("text comes as a string, binary as bytes, empty ones too", async () => {
    station = Station.start(
      endpoint({
        received: (channel, frame) =>
          channel.send(typeof frame === "string" ? `text ${frame}` : `bytes ${[...(frame satisfies Uint8Array)]}`),
      }),
    );
    const client = await Client.open(station.url());
    client.send("");
    client.send(new Uint8Array([1, 2, 255]));
    client.send(new Uint8Array());
    client.send("ünïcode 😀");
    expect(await client.received(4)).toEqual(["text ", "bytes 1,2,255", "bytes ", "text ünïcode 😀"]);
  });

  test("a frame over the limit closes with 1009, after those before it", async () => {
    station = Station.start(endpoint({ limits: { maxFrameBytes: 10 } }));
    const client = await Client.open(station.url());
    client.send("0123456789");
    client.send("01234567890");
    client.send("after");
    expect(await client.closed).toEqual({ code: 1009, reason: "Message too big" });
    expect(client.texts).toEqual(["0123456789"]);
  });

  test("the limit counts bytes of UTF-8, in text and in binary", async () => {
    let tooBig = 0;
    station = Station.start(
      endpoint({
        oversize(channel) {
          channel.send(`too big ${++tooBig}`);
        },
        received: (channel) => channel.send("fits"),
        limits: { maxFrameBytes: 10 },
      }),
    );
    const client = await Client.open(station.url());
    client.send("ééééé");
    client.send("éééééx");
    client.send("😀😀xx");
    client.send("😀😀xxx");
    client.send(new Uint8Array(10));
    client.send(new Uint8Array(11));
    expect(await client.received(6)).toEqual(["fits", "too big 1", "fits", "too big 2", "fits", "too big 3"]);
  });

  test("a frame over the limit waits for its turn like any other", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    station = Station.start(
      endpoint({
        async received(_channel, frame) {
          await gate.promise;
          seen.push(String(frame));
        },
        oversize(channel) {
          seen.push("too big");
          channel.send("told");
        },
        limits: { maxFrameBytes: 10 },
      }),
    );
    const client = await Client.open(station.url());
    client.send("first");
    client.send("far too big for this");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 2);
    gate.resolve();
    await client.next();
    expect(seen).toEqual(["first", "too big"]);
  });

  test("a message in thousands of tiny fragments is one frame; pings may come between", async () => {
    station = Station.start(endpoint({ received: (channel, frame) => channel.send(`${frame.length}`) }));
    const client = await WireClient.open(station.url());
    const fragments = Array.from({ length: 5_000 }, (_, i) => frameBytes(i === 0 ? TEXT : 0, "x", { fin: false }));
    fragments.splice(2_500, 0, frameBytes(9, "still there?"));
    await client.write(Buffer.concat([...fragments, frameBytes(0, "", { fin: true })]));
    expect((await client.next())?.opcode).toBe(10);
    expect((await client.next())?.text).toBe("5000");
    client.end();
  });

  for (const [name, bytes, code] of [
    ["text that is not UTF-8", frameBytes(TEXT, new Uint8Array([0xc3, 0x28])), 1007],
    ["a frame over the listener's limit", Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 1, 2, 3, 4]), 1009],
    ["reserved bits", frameBytes(TEXT, "x", { reserved: 5 }), 1002],
    ["an unknown opcode", frameBytes(5, "x"), 1002],
    ["an unmasked frame", frameBytes(TEXT, "x", { masked: false }), 1002],
    ["a continuation of nothing", frameBytes(0, "x"), 1002],
    ["a fragmented ping", frameBytes(9, "x", { fin: false }), 1002],
    ["a close frame of one byte", frameBytes(CLOSE, new Uint8Array([3])), 1002],
    ["a close code that must not be sent", frameBytes(CLOSE, new Uint8Array([3, 237])), 1002],
  ] as const) {
    test(`${name} closes with ${code}, and only that socket`, async () => {
      const ends: ChannelEnd[] = [];
      station = Station.start(endpoint({ closed: (_channel, end) => void ends.push(end) }));
      const bystander = await Client.open(station.url());
      const client = await WireClient.open(station.url(), { polite: true });
      await client.write(Buffer.concat([frameBytes(BINARY, "A"), bytes]));
      const frames = await client.rest();
      expect(frames.at(-1)?.code).toBe(code);
      await until(() => ends.length === 1);
      expect(ends[0]).toMatchObject({ code, by: "server" });
      expect(await station.metric("rawsocket_closes_total", { code: String(code), by: "server" })).toBe(1);
      bystander.send("alive");
      expect(await bystander.next()).toBe("alive");
    });
  }
});

describe("faults", () => {
  test("a handler that throws or rejects closes its channel with 1011 and is logged; others live on", async () => {
    station = Station.start(
      endpoint({
        received(channel, frame) {
          if (frame === "throw") throw new Error("thrown by a handler");
          if (frame === "reject") return Promise.reject(new Error("rejected by a handler"));
          channel.send(String(frame));
        },
      }),
    );
    const bystander = await Client.open(station.url());
    for (const word of ["throw", "reject"]) {
      const client = await Client.open(station.url());
      client.send(word);
      client.send("after");
      expect(await client.closed).toEqual({ code: 1011, reason: "Internal error" });
      expect(client.texts).toEqual([]);
    }
    expect(station.logged.filter((line) => line.includes("handler failed")).length).toBe(2);
    bystander.send("alive");
    expect(await bystander.next()).toBe("alive");
  });

  test("`failed` gets the fault of every hook, and decides what happens to the channel", async () => {
    const faults: string[] = [];
    const fault = (hook: string) => {
      throw new Error(hook);
    };
    station = Station.start(
      endpoint({
        opened: async () => fault("opened"),
        received: () => fault("received"),
        oversize: () => fault("oversize"),
        closed: async () => fault("closed"),
        failed: (_channel, error) => void faults.push((error as Error).message),
        limits: { maxFrameBytes: 10 },
      }),
    );
    const client = await Client.open(station.url());
    client.send("small");
    client.send("larger than ten");
    await until(() => faults.length === 3);
    client.close();
    await until(() => faults.length === 4);
    expect(faults).toEqual(["opened", "received", "oversize", "closed"]);
    expect(station.logged).toEqual([]);
  });

  test("a `failed` that throws itself is logged, and the channel closed with 1011", async () => {
    station = Station.start(
      endpoint({
        received: () => Promise.reject(new Error("first")),
        failed: () => {
          throw new Error("second");
        },
      }),
    );
    const client = await Client.open(station.url());
    client.send("x");
    expect((await client.closed).code).toBe(1011);
    expect(station.logged[0]).toContain("first");
    expect(station.logged[0]).toContain("second");
  });

  test("`lastFrame` is told for which channel it is", async () => {
    const declared = endpoint();
    const lastFrame = (code: number, _reason: string, { url }: { url: URL }) => `${code} ${url.search}`;
    station = Station.start({ ...declared, closes: { ...declared.closes, lastFrame } });
    const clients = [await Client.open(`${station.url()}?v=1`), await Client.open(`${station.url()}?v=2`)];
    station.mount.drain(2);
    expect([await clients[0]!.next(), await clients[1]!.next()]).toEqual(["4007 ?v=1", "4007 ?v=2"]);
  });

  test("a `lastFrame` that throws costs the last frame, not the close", async () => {
    const declared = endpoint();
    station = Station.start({
      ...declared,
      closes: {
        ...declared.closes,
        lastFrame: () => {
          throw new Error("no last frame");
        },
      },
    });
    const client = await Client.open(station.url());
    station.mount.drain(1);
    expect(await client.closed).toEqual({ code: 4007, reason: "Shutting down" });
    expect(client.texts).toEqual([]);
    expect(station.logged[0]).toContain("no last frame");
  });
});
