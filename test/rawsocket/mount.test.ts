import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Channel, ChannelEnd } from "../../src/rawsocket/endpoint.ts";
import { WireClient } from "../support/wire.ts";
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

const http = (url: string) => url.replace("ws:", "http:");
const greeting = (text: string) => (channel: Channel<unknown>) => channel.send(text);

describe("requests", () => {
  test("both spellings of a path are served, and the root as it is", async () => {
    station = Station.start(endpoint({ paths: ["/", "/chat/ws"], opened: greeting("hello") }));
    expect(station.mount.paths).toEqual(["/", "/chat/ws", "/chat/ws/"]);
    for (const path of ["/", "/chat/ws", "/chat/ws/", "/?a=b", ""]) {
      expect(await (await Client.open(station.url(path))).next()).toBe("hello");
    }
  });

  test("two endpoints share a path: the first that claims a request gets it", async () => {
    station = Station.start(
      endpoint({
        name: "first",
        paths: ["/"],
        claims: (url) => url.searchParams.has("token"),
        opened: greeting("first"),
        plainHttp: ({ url }) => (url.endsWith("=none") ? null : new Response("first, plain")),
      }),
      endpoint({ name: "second", paths: ["/"], opened: greeting("second") }),
    );
    expect(await (await Client.open(station.url("/?token="))).next()).toBe("first");
    expect(await (await Client.open(station.url("/"))).next()).toBe("second");
    expect(await (await fetch(http(station.url("/?token=x")))).text()).toBe("first, plain");
    expect((await fetch(http(station.url("/?token=none")))).status).toBe(404);
    expect((await fetch(http(station.url("/")))).status).toBe(404);
    expect(station.mounts.map((mount) => mount.size)).toEqual([1, 1]);
  });

  test("a `claims` or `plainHttp` that throws is logged and takes nothing down", async () => {
    station = Station.start(
      endpoint({
        claims: (url) => {
          if (url.search) throw new Error("bad claim");
          return true;
        },
        plainHttp: () => {
          throw new Error("bad answer");
        },
      }),
    );
    expect((await fetch(http(station.url("/echo?x=1")))).status).toBe(404);
    expect((await fetch(http(station.url("/echo")))).status).toBe(500);
    expect(station.logged.length).toBe(2);
  });

  test("an upgrade without a key gets 400, with another version 426, and no hook runs", async () => {
    let hooks = 0;
    const count = () => {
      hooks++;
    };
    station = Station.start(endpoint({ arriving: count, opened: count, closed: count }));
    const keyless = await WireClient.open(station.url(), { headers: { "Sec-WebSocket-Key": null } });
    expect(keyless.status).toBe(400);
    for (const version of ["8", null]) {
      const old = await WireClient.open(station.url(), { headers: { "Sec-WebSocket-Version": version } });
      expect(old.status).toBe(426);
      expect(old.header("sec-websocket-version")).toBe("13");
    }
    expect(hooks).toBe(0);
    expect(station.mount.size).toBe(0);
  });

  test("a subprotocol is selected only if the endpoint speaks it", async () => {
    station = Station.start(
      endpoint({ paths: ["/none"], name: "none" }),
      endpoint({ paths: ["/some"], name: "some", subprotocols: ["patchbay.test", "second"] }),
    );
    const offer = { headers: { "Sec-WebSocket-Protocol": "token.abc, second,patchbay.test" } };
    expect((await WireClient.open(station.url("/none"), offer)).header("sec-websocket-protocol")).toBeNull();
    expect((await WireClient.open(station.url("/some"), offer)).header("sec-websocket-protocol")).toBe("patchbay.test");
    const other = { headers: { "Sec-WebSocket-Protocol": "token.abc" } };
    expect((await WireClient.open(station.url("/some"), other)).header("sec-websocket-protocol")).toBeNull();
    expect((await WireClient.open(station.url("/some"))).header("sec-websocket-protocol")).toBeNull();
  });

  test("no extension is agreed on", async () => {
    station = Station.start(endpoint());
    const client = await WireClient.open(station.url(), {
      headers: { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" },
    });
    expect(client.header("sec-websocket-extensions")).toBeNull();
  });

  test("the channel knows its request: URL, headers, address", async () => {
    const seen: unknown[] = [];
    station = Station.start(
      endpoint({
        async opened(channel, request) {
          await new Promise((resolve) => setImmediate(resolve));
          const { url, address } = channel;
          seen.push(url.pathname, url.searchParams.get("a"), address, request.headers.get("authorization"));
          channel.send("ready");
        },
      }),
    );
    const client = await WireClient.open(station.url("/echo?a=1"), { headers: { Authorization: "Bearer x" } });
    await client.next();
    expect(seen).toEqual(["/echo", "1", "127.0.0.1", "Bearer x"]);
  });

  test("whoever is turned away is told inside the protocol, and the endpoint's hooks hear nothing", async () => {
    let hooks = 0;
    const count = () => {
      hooks++;
    };
    station = Station.start(endpoint({ arriving: count, opened: count, closed: count }));
    for (const [refusal, code, reason] of [
      ["node full", 4013, "Full"],
      ["draining", 4007, "Shutting down"],
    ] as const) {
      station.refusal = refusal;
      const client = await WireClient.open(station.url(), { polite: true });
      expect(client.status).toBe(101);
      const frames = await client.rest();
      expect(frames.map((frame) => frame.text)).toEqual([JSON.stringify({ bye: code, reason }), reason]);
      expect(frames[1]?.code).toBe(code);
    }
    expect(hooks).toBe(0);
    await until(() => station?.mount.size === 0);
    expect(station.observed).toBe(0);
  });
});

describe("arriving", () => {
  test("the upgrade waits for it, and what it asked of the channel comes first", async () => {
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    station = Station.start(
      endpoint({
        async arriving(channel) {
          channel.session = "known";
          order.push(`arriving ${channel.open}`);
          channel.subscribe("all");
          channel.send("kept for you");
          await gate.promise;
        },
        opened(channel) {
          order.push(`opened ${channel.open} ${channel.session}`);
          channel.send("opened");
        },
      }),
    );
    const opening = WireClient.open(station.url()).then((client) => {
      order.push("answered");
      return client;
    });
    await until(() => order.length === 1);
    await Bun.sleep(5);
    expect(order).toEqual(["arriving false"]);
    gate.resolve();
    const client = await opening;
    expect((await client.next())?.text).toBe("kept for you");
    expect((await client.next())?.text).toBe("opened");
    expect(order).toEqual(["arriving false", "opened true known", "answered"]);
    client.end();
  });

  test("an old channel is told and closed before a new one is answered", async () => {
    const held = new Set<Channel<unknown>>();
    station = Station.start(
      endpoint({
        async arriving(channel) {
          const older = [...held];
          held.add(channel);
          for (const old of older) await old.finish(250, 4008, "New device", "replaced");
        },
        closed: (channel) => void held.delete(channel),
      }),
    );
    const events: string[] = [];
    const first = new WebSocket(station.url());
    await new Promise((resolve) => {
      first.onopen = resolve;
    });
    first.onmessage = ({ data }) => events.push(`first got ${data}`);
    const second = new WebSocket(station.url());
    await new Promise<void>((resolve) => {
      second.onopen = () => {
        events.push("second open");
        resolve();
      };
    });
    expect(events).toEqual(["first got replaced", "second open"]);
    await until(() => held.size === 1);
  });

  test("a close before the upgrade is carried out after it, and `opened` does not run", async () => {
    const order: string[] = [];
    station = Station.start(
      endpoint({
        arriving: async (channel) => channel.close(4002, "Bad token", "last"),
        opened: () => void order.push("opened"),
        closed: (_channel, end) => void order.push(`closed ${end.code} by ${end.by}`),
      }),
    );
    const client = await WireClient.open(station.url(), { polite: true });
    expect((await client.rest()).map((frame) => frame.text)).toEqual(["last", "Bad token"]);
    expect(order).toEqual(["closed 4002 by server"]);
  });

  test("a fault is handled like that of any hook", async () => {
    station = Station.start(endpoint({ arriving: () => Promise.reject(new Error("cannot arrive")) }));
    const client = await Client.open(station.url());
    expect((await client.closed).code).toBe(1011);
    expect(station.logged[0]).toContain("cannot arrive");
  });

  test("a client that leaves meanwhile is told of once, as gone", async () => {
    const ends: ChannelEnd[] = [];
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<Request>();
    station = Station.start(
      endpoint({
        async arriving(_channel, request) {
          arrived.resolve(request);
          await gate.promise;
        },
        opened: () => {
          throw new Error("must not open");
        },
        closed: (_channel, end) => void ends.push(end),
      }),
    );
    const socket = new WebSocket(station.url());
    socket.onerror = () => {};
    const request = await arrived.promise;
    socket.terminate();
    await until(() => request.signal.aborted);
    gate.resolve();
    await until(() => ends.length === 1);
    expect(ends).toEqual([{ code: 1006, reason: "", by: "client" }]);
    expect(station.mount.size).toBe(0);
    expect(station.logged).toEqual([]);
  });

  test("what is kept for the time after the upgrade is bounded", async () => {
    station = Station.start(
      endpoint({
        arriving(channel) {
          for (let i = 0; i < 100; i++) channel.send("x".repeat(100_000));
        },
        limits: { maxOutboxBytes: 1_000_000 },
      }),
    );
    const client = await WireClient.open(station.url(), { polite: true });
    const frames = await client.rest();
    expect(frames.map((frame) => frame.text)).toEqual(['{"bye":4009,"reason":"Too slow"}', "Too slow"]);
  });
});

describe("swap", () => {
  test("live channels meet the new declaration at their next frame, and nothing is done twice", async () => {
    const mounted: string[] = [];
    const ends: string[] = [];
    const version = (name: string) =>
      endpoint<number>({
        mounted: () => void mounted.push(name),
        opened: (channel) => {
          channel.session = 0;
        },
        received: (channel) => channel.send(`${name} ${++channel.session}`),
        closed: (_channel, end) => void ends.push(`${name} ${end.code}`),
        limits: { pingInterval: name === "old" ? 30_000 : 5_000 },
      });
    station = Station.start(version("old"));
    const clients = await Promise.all(Array.from({ length: 20 }, () => WireClient.open(station!.url())));
    for (const client of clients) {
      client.send("x");
      expect((await client.next())?.text).toBe("old 1");
    }
    station.mount.swap(version("new"));
    expect(mounted).toEqual(["old", "new"]);
    expect(station.mount.size).toBe(20);
    for (const client of clients) {
      client.send("x");
      expect((await client.next())?.text).toBe("new 2");
    }
    // The heartbeat has the new interval, and beats once.
    station.clock.advance(5_000);
    for (const client of clients) expect((await client.next())?.opcode).toBe(9);
    for (const client of clients) client.destroy();
    await until(() => ends.length === 20);
    expect(new Set(ends)).toEqual(new Set(["new 1006"]));
    expect(clients.every((client) => client.frames.length === 3)).toBe(true);
  });

  test("a frame in work ends on the declaration it began with; the next meets the new one", async () => {
    const gate = Promise.withResolvers<void>();
    station = Station.start(
      endpoint({
        async received(channel, frame) {
          await gate.promise;
          channel.send(`old ${frame}`);
        },
      }),
    );
    const client = await Client.open(station.url());
    client.send("1");
    client.send("2");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 2);
    station.mount.swap(endpoint({ received: (channel, frame) => channel.send(`new ${frame}`) }));
    gate.resolve();
    expect(await client.received(2)).toEqual(["old 1", "new 2"]);
  });

  test("a declaration whose `mounted` throws changes nothing", async () => {
    station = Station.start(endpoint());
    const client = await Client.open(station.url());
    const broken = endpoint({
      mounted: () => {
        throw new Error("cannot mount");
      },
      received: (channel) => channel.send("broken"),
    });
    expect(() => station?.mount.swap(broken)).toThrow("cannot mount");
    client.send("still old");
    expect(await client.next()).toBe("still old");
  });
});

describe("drain", () => {
  test("5,000 channels end with their last frame and code, in batches, within a second in all", async () => {
    const count = 5_000;
    station = Station.start(endpoint());
    const crowd = Bun.spawn(["bun", `${import.meta.dir}/crowd.ts`, station.url(), String(count)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    try {
      const answers = lines(crowd.stdout);
      expect(await answers.next()).toBe(`open ${count}`);
      expect(station.mount.size).toBe(count);
      const spent: number[] = [];
      for (let left = count; left > 0; ) {
        const began = process.cpuUsage();
        left = station.mount.drain(1_000);
        const used = process.cpuUsage(began);
        spent.push((used.user + used.system) / 1_000);
        await Bun.sleep(0);
      }
      // Time of the processor, which other work on the machine does not change; and that of the middle batch, since a
      // machine that stands still may count that to one of them.
      const [, , middle] = spent.slice(0, 5).toSorted((a, b) => a - b);
      expect(middle! * 5).toBeLessThan(1_000);
      expect(await answers.next()).toBe(`closed ${count} 4007 {"bye":4007,"reason":"Shutting down"}`);
    } finally {
      crowd.kill();
    }
  });

  test("a batch ends only so many; who comes meanwhile is sent away", async () => {
    station = Station.start(endpoint());
    const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open(station!.url())));
    expect(station.mount.drain(4)).toBe(6);
    const late = await Client.open(station.url());
    expect(await late.closed).toEqual({ code: 4007, reason: "Shutting down" });
    expect(late.texts).toEqual(['{"bye":4007,"reason":"Shutting down"}']);
    await until(() => clients.filter((client) => client.socket.readyState === WebSocket.CLOSED).length === 4);
    expect(station.mount.drain(100)).toBe(0);
    for (const client of clients) expect((await client.closed).code).toBe(4007);
  });

  test("channels that are ending already do not take the places of a batch", async () => {
    station = Station.start(
      endpoint({ received: (_channel, frame) => (frame === "stay" ? Promise.race([]) : undefined) }),
    );
    const clients = await Promise.all(Array.from({ length: 4 }, () => Client.open(station!.url())));
    for (const client of clients.slice(0, 3)) client.send("stay");
    await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 3);
    for (let batch = 0; batch < 4; batch++) station.mount.drain(1);
    expect((await clients[3]!.closed).code).toBe(4007);
    expect(station.mount.size).toBe(3);
  });

  test("what a channel has in work is finished, for 2 s at most", async () => {
    const gates: PromiseWithResolvers<void>[] = [];
    station = Station.start(
      endpoint({
        async received(channel, frame) {
          const gate = Promise.withResolvers<void>();
          gates.push(gate);
          await gate.promise;
          channel.send(`done ${frame}`);
        },
      }),
    );
    const quick = await Client.open(station.url());
    const stuck = await Client.open(station.url());
    quick.send("1");
    await until(() => gates.length === 1);
    stuck.send("2");
    await until(() => gates.length === 2);
    expect(station.mount.drain(10)).toBe(2);
    expect(station.mount.drain(10)).toBe(2);
    gates[0]?.resolve();
    expect((await quick.closed).code).toBe(4007);
    expect(quick.texts[0]).toBe("done 1");
    station.clock.advance(2_000);
    expect((await stuck.closed).code).toBe(4007);
    expect(stuck.texts).toEqual(['{"bye":4007,"reason":"Shutting down"}']);
    gates[1]?.resolve();
    await until(() => station?.mount.size === 0);
  });
});

test("close() ends every channel at once, and a mount that is closed takes nobody in", async () => {
  station = Station.start(endpoint({ received: () => new Promise(() => {}) }));
  const client = await Client.open(station.url());
  client.send("never done");
  await until(async () => (await station?.metric("rawsocket_frames_received_total")) === 1);
  station.mount.close();
  expect((await client.closed).code).toBe(4007);
  expect((await (await Client.open(station.url())).closed).code).toBe(4007);
});

test("metrics: connections, frames both ways, time in handlers", async () => {
  station = Station.start(endpoint());
  const client = await Client.open(station.url());
  for (let i = 0; i < 5; i++) client.send(String(i));
  await client.received(5);
  const labels = { endpoint: "echo" };
  expect(await station.metric("rawsocket_connections", labels)).toBe(1);
  expect(await station.metric("rawsocket_frames_received_total", labels)).toBe(5);
  expect(await station.metric("rawsocket_frames_sent_total", labels)).toBe(5);
  expect(await station.metric("rawsocket_handler_seconds_count", labels)).toBe(5);
});

/** Lines of a stream, one at a time. */
function lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): { next(): Promise<string> } {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    async next() {
      for (;;) {
        const end = text.indexOf("\n");
        if (end !== -1) {
          const line = text.slice(0, end);
          text = text.slice(end + 1);
          return line;
        }
        const { done, value } = await reader.read();
        if (done) throw new Error("the stream ended");
        text += value;
      }
    },
  };
}
