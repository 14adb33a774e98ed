import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { Engine, type EngineSocket } from "../../../src/socketio/engine/index.ts";
import { ManualClock } from "../../support/clock.ts";
import { WireClient } from "../../support/wire.ts";
import { Frames, REVISIONS, Station, unpack } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const UNKNOWN_TRANSPORT = { code: 0, message: "Transport unknown" };
const UNKNOWN_SESSION = { code: 1, message: "Session ID unknown" };
const BAD_METHOD = { code: 2, message: "Bad handshake method" };
const BAD_REQUEST = { code: 3, message: "Bad request" };
const UNSUPPORTED = { code: 5, message: "Unsupported protocol version" };

async function refusal(response: Response | Promise<Response>): Promise<unknown> {
  const { status, headers } = await response;
  expect(status).toBe(400);
  expect(headers.get("content-type")).toBe("application/json");
  return (await response).json();
}

/** Headers of a WebSocket handshake, for requests whose HTTP answer is of interest. */
const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

for (const revision of REVISIONS) {
  describe(`revision ${revision}`, () => {
    test("the open packet on polling offers the upgrade", async () => {
      await using at = Station.open({ pingInterval: 300, pingTimeout: 200, maxHttpBufferSize: 4096 });
      const response = await at.fetch(`EIO=${revision}&transport=polling`);
      expect(response.status).toBe(200);
      expect(response.headers.get("cache-control")).toBe("no-store");
      const packets = unpack(revision, await response.text());
      expect(packets).toHaveLength(1);
      expect(packets[0]?.[0]).toBe("0");
      expect(JSON.parse(packets[0]?.slice(1) ?? "")).toEqual({
        sid: expect.stringMatching(/^[\w-]{20}$/),
        upgrades: ["websocket"],
        pingInterval: 300,
        pingTimeout: 200,
        maxPayload: 4096,
      });
    });

    test("the open packet on a WebSocket offers nothing further", async () => {
      await using at = Station.open();
      const frames = new Frames(at.url(`EIO=${revision}&transport=websocket`));
      const open = String(await frames.next());
      expect(JSON.parse(open.slice(1))).toEqual({
        sid: expect.stringMatching(/^[\w-]{20}$/),
        upgrades: [],
        pingInterval: 25_000,
        pingTimeout: 20_000,
        maxPayload: 1_000_000,
      });
    });

    test("no upgrade is offered where WebSocket is off", async () => {
      await using at = Station.open({ transports: ["polling"] });
      const [open = ""] = unpack(revision, await (await at.fetch(`EIO=${revision}&transport=polling`)).text());
      expect(JSON.parse(open.slice(1))).toMatchObject({ upgrades: [] });
    });

    test("what a connection listener writes at once follows in the next answer, after the open packet", async () => {
      await using at = Station.open();
      at.engine.on("connection", (socket) => socket.send("first"));
      const client = await at.polling(revision);
      expect(await client.take()).toEqual(["4first"]);
      const frames = new Frames(at.url(`EIO=${revision}&transport=websocket`));
      const [open, first] = await frames.take(2);
      expect(String(open)[0]).toBe("0");
      expect(first).toBe("4first");
    });

    test("the session tells how it was opened", async () => {
      await using at = Station.open();
      const { socket } = await at.pair(revision, "&token=a%20b");
      expect(socket.protocol).toBe(revision);
      expect(socket.remoteAddress).toMatch(/127\.0\.0\.1$/);
      expect(socket.request.url).toBe(`/engine.io/?EIO=${revision}&transport=websocket&token=a%20b`);
      expect(socket.request._query).toEqual({ EIO: String(revision), transport: "websocket", token: "a b" });
      expect(socket.request.connection.encrypted).toBe(false);
      expect(socket.request.headers.host).toBe(`127.0.0.1:${at.server.port}`);
      expect(Object.keys(socket.request.headers)).not.toContain("sec-websocket-key");
    });
  });
}

describe("refusals", () => {
  test("EIO missing, unknown, or of a revision that is off", async () => {
    await using at = Station.open({ revisions: [4] });
    for (const query of ["transport=polling", "EIO=abc&transport=polling", "EIO=5&transport=websocket"]) {
      expect(await refusal(at.fetch(query))).toEqual(UNSUPPORTED);
    }
    expect(await refusal(at.fetch("EIO=3&transport=polling"))).toEqual(UNSUPPORTED);
    expect(await refusal(at.fetch("EIO=3&transport=websocket", { headers: UPGRADE }))).toEqual(UNSUPPORTED);
  });

  test("transport missing, unknown, or off", async () => {
    await using at = Station.open({ transports: ["websocket"] });
    for (const query of ["EIO=4", "EIO=4&transport=abc", "EIO=4&transport=constructor", "EIO=4&transport=polling"]) {
      expect(await refusal(at.fetch(query))).toEqual(UNKNOWN_TRANSPORT);
    }
  });

  test("T-1.4 V-1.3 W-1.7 another protocol, or none, whatever else is wrong", async () => {
    await using at = Station.open({ transports: ["websocket"] });
    for (const query of ["", "EIO=5", "EIO=2&transport=polling", "transport=abc", "EIO=&transport=websocket"]) {
      expect(await refusal(at.fetch(query))).toEqual(UNSUPPORTED);
    }
    expect(await refusal(at.fetch("EIO=5&transport=websocket", { method: "POST" }))).toEqual(UNSUPPORTED);
  });

  test("sid unknown, on any transport and method", async () => {
    await using at = Station.open();
    expect(await refusal(at.fetch("EIO=4&transport=polling&sid=nobody"))).toEqual(UNKNOWN_SESSION);
    expect(await refusal(at.fetch("EIO=4&transport=polling&sid=nobody", { method: "POST" }))).toEqual(UNKNOWN_SESSION);
    expect(await refusal(at.fetch("EIO=4&transport=polling&sid="))).toEqual(UNKNOWN_SESSION);
    const upgrade = at.fetch("EIO=4&transport=websocket&sid=nobody", { headers: UPGRADE });
    expect(await refusal(upgrade)).toEqual(UNKNOWN_SESSION);
  });

  test("handshake by another method than GET", async () => {
    await using at = Station.open();
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      expect(await refusal(at.fetch("EIO=4&transport=polling", { method }))).toEqual(BAD_METHOD);
    }
  });

  test("a request of a session by a method that has no meaning leaves it unharmed", async () => {
    await using at = Station.open();
    const client = await at.polling(4);
    expect(await refusal(at.fetch(client.query, { method: "PUT", body: "4x" }))).toEqual(BAD_REQUEST);
    expect((await client.send("4x")).status).toBe(200);
  });

  test("transport=websocket without an upgrade, and the other way round", async () => {
    await using at = Station.open();
    expect(await refusal(at.fetch("EIO=4&transport=websocket"))).toEqual(BAD_REQUEST);
    expect(await refusal(at.fetch("EIO=4&transport=polling", { headers: UPGRADE }))).toEqual(BAD_REQUEST);
  });

  test("an upgrade without its key", async () => {
    await using at = Station.open();
    const client = await WireClient.open(at.url("EIO=4&transport=websocket"), {
      headers: { "Sec-WebSocket-Key": null },
    });
    expect(client.status).toBe(400);
    expect(at.engine.sessions.size).toBe(0);
  });

  test("each is reported as connection_error", async () => {
    await using at = Station.open();
    const reported = once(at.engine, "connection_error");
    await at.fetch("EIO=2&transport=polling");
    const [error] = await reported;
    expect(error).toMatchObject({ ...UNSUPPORTED, context: { protocol: "2" } });
    expect(error.req.url).toContain("EIO=2");
  });

  test("a connection_error listener that throws changes nothing", async () => {
    await using at = Station.open();
    at.engine.on("connection_error", () => {
      throw new Error("mine");
    });
    const fault = once(at.engine, "fault");
    expect(await refusal(at.fetch("EIO=2&transport=polling"))).toEqual(UNSUPPORTED);
    expect((await fault)[0]).toEqual(new Error("mine"));
  });
});

describe("requests", () => {
  test("the path is served with and without its last slash, and nothing beside it", async () => {
    await using at = Station.open({ path: "/a/b/" });
    const origin = new URL(at.url("")).origin;
    for (const [path, status] of Object.entries({ "/a/b/": 200, "/a/b": 200, "/a/bc": 404, "/a/b/c": 404 })) {
      const response = await fetch(`${origin}${path}?EIO=4&transport=polling`);
      expect([path, response.status]).toEqual([path, status]);
    }
  });

  test("any number of engines share a server, each with its own options and sessions", async () => {
    const other = new Engine({ path: "/other", pingInterval: 1234, revisions: [3] });
    await using at = Station.open({ path: "/one/" }, other);
    const { socket } = await at.pair(4);
    const { socket: second } = await at.pair(3, "", other);
    expect([...at.engine.sessions.keys()]).toEqual([socket.id]);
    expect([...other.sessions.keys()]).toEqual([second.id]);
    const foreign = fetch(at.url(`EIO=3&transport=polling&sid=${socket.id}`, other));
    expect(await refusal(foreign)).toEqual(UNKNOWN_SESSION);
  });

  test("`Connection: close` is echoed, since Bun closes without a word", async () => {
    await using at = Station.open({ cors: { origin: "*" } });
    const close = { headers: { connection: "close" } };
    expect((await at.fetch("EIO=4&transport=polling", close)).headers.get("connection")).toBe("close");
    expect((await at.fetch("EIO=9&transport=polling", close)).headers.get("connection")).toBe("close");
    const preflight = await at.fetch("EIO=4&transport=polling", { ...close, method: "OPTIONS" });
    expect(preflight.headers.get("connection")).toBe("close");
    expect((await at.fetch("EIO=4&transport=polling")).headers.get("connection")).not.toBe("close");
  });

  test("an offer to upgrade to HTTP/2 is ignored", async () => {
    await using at = Station.open();
    const client = await WireClient.open(at.url("EIO=4&transport=polling"), {
      headers: { Upgrade: "h2c", Connection: "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAEAAEAAAAIAAAAA" },
    });
    expect(client.status).toBe(200);
    client.destroy();
  });

  test("a Host header that makes no URL is no obstacle", async () => {
    await using at = Station.open();
    const client = await WireClient.open(at.url("EIO=4&transport=websocket"), { headers: { Host: "a b" } });
    expect(client.status).toBe(101);
    const [socket] = at.engine.sessions.values();
    expect(socket?.request.url).toBe("/engine.io/?EIO=4&transport=websocket");
    client.destroy();
  });

  test("address and security as a proxy reports them", async () => {
    await using at = Station.open();
    const sockets: EngineSocket[] = [];
    at.engine.on("connection", (socket) => sockets.push(socket));
    const proxied = Bun.serve({
      ...at.engine.handler(),
      port: 0,
      fetch: (request, server) => at.engine.handleRequest(request, server, { address: "192.0.2.7", secure: true }),
    });
    await fetch(`http://127.0.0.1:${proxied.port}/engine.io/?EIO=4&transport=polling`);
    expect(sockets[0]?.remoteAddress).toBe("192.0.2.7");
    expect(sockets[0]?.request.connection.encrypted).toBe(true);
    await proxied.stop(true);
  });

  test("bindAddress: a sid is unknown to other addresses", async () => {
    await using at = Station.open({ bindAddress: true });
    let address = "192.0.2.7";
    const proxied = Bun.serve({
      ...at.engine.handler(),
      port: 0,
      fetch: (request, server) => at.engine.handleRequest(request, server, { address }),
    });
    const base = `http://127.0.0.1:${proxied.port}/engine.io/?EIO=4&transport=polling`;
    const open = await (await fetch(base)).text();
    const { sid } = JSON.parse(open.slice(1));
    const post = () => fetch(`${base}&sid=${sid}`, { method: "POST", body: "4x" });
    expect((await post()).status).toBe(200);
    address = "192.0.2.8";
    expect(await refusal(post())).toEqual(UNKNOWN_SESSION);
    expect(at.engine.sessions.size).toBe(1);
    address = "::ffff:192.0.2.7";
    expect((await post()).status).toBe(200);
    await proxied.stop(true);
  });

  test("bindAddress: loopback addresses count as one", async () => {
    await using at = Station.open({ bindAddress: true });
    const addresses = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.8.8"];
    let turn = 0;
    const proxied = Bun.serve({
      ...at.engine.handler(),
      port: 0,
      fetch: (request, server) => at.engine.handleRequest(request, server, { address: addresses[turn++] ?? "" }),
    });
    const base = `http://127.0.0.1:${proxied.port}/engine.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(base)).text()).slice(1));
    for (let i = 1; i < addresses.length; i++) {
      expect((await fetch(`${base}&sid=${sid}`, { method: "POST", body: "4x" })).status).toBe(200);
    }
    await proxied.stop(true);
  });
});

describe("options", () => {
  test("allowRequest decides on handshakes and upgrades with HTTP 403, not on polls", async () => {
    const seen: string[] = [];
    let allowed = true;
    await using at = Station.open({
      async allowRequest(request) {
        seen.push(request.method);
        if (!allowed) throw "thou shall not pass";
      },
    });
    const client = await at.polling(4);
    allowed = false;
    expect((await client.send("4x")).status).toBe(200);
    const response = await at.fetch("EIO=4&transport=polling");
    expect(response.status).toBe(403);
    expect(await response.json()).toEqual({ code: 4, message: "thou shall not pass" });
    expect((await at.fetch(client.query.replace("polling", "websocket"), { headers: UPGRADE })).status).toBe(403);
    expect(seen).toHaveLength(3);
  });

  test("an error thrown by allowRequest is not shown to the client", async () => {
    await using at = Station.open({
      allowRequest() {
        throw new Error("select * from secrets");
      },
    });
    const response = await at.fetch("EIO=4&transport=polling");
    expect([response.status, await response.json()]).toEqual([403, { code: 4, message: "Forbidden" }]);
  });

  test("editHandshakeHeaders and editResponseHeaders", async () => {
    await using at = Station.open({
      editHandshakeHeaders: (headers) => headers.set("x-handshake", "1"),
      editResponseHeaders: async (headers) => headers.set("x-response", "1"),
    });
    const handshake = await at.fetch("EIO=4&transport=polling");
    expect([handshake.headers.get("x-handshake"), handshake.headers.get("x-response")]).toEqual(["1", "1"]);
    const refused = await at.fetch("EIO=4");
    expect([refused.headers.get("x-handshake"), refused.headers.get("x-response")]).toEqual([null, "1"]);
    const wire = await WireClient.open(at.url("EIO=4&transport=websocket"));
    expect([wire.header("x-handshake"), wire.header("x-response")]).toEqual(["1", "1"]);
    wire.destroy();
  });

  test("a hook that fails is answered by 500 and reported", async () => {
    await using at = Station.open({
      editResponseHeaders() {
        throw new Error("mine");
      },
    });
    const fault = once(at.engine, "fault");
    expect((await at.fetch("EIO=4&transport=polling")).status).toBe(500);
    expect((await fault)[0]).toEqual(new Error("mine"));
  });
});

test("configure: other options for sessions to come, the old ones for those that live", async () => {
  const clock = new ManualClock();
  await using at = Station.open({ clock, maxHttpBufferSize: 50 });
  const old = await at.polling(4);
  at.engine.configure({ clock, maxHttpBufferSize: 5, pingInterval: 1_000, pingTimeout: 1_000, revisions: [4] });
  expect(await refusal(at.fetch("EIO=3&transport=polling"))).toEqual(UNSUPPORTED);
  const fresh = await at.polling(4);
  expect((await old.send("4more than five")).status).toBe(200);
  clock.advance(1_000);
  expect(await fresh.take()).toEqual(["2"]);
  expect((await fresh.send("4more than five")).status).toBe(413);
  clock.advance(24_000);
  expect(await old.take()).toEqual(["2"]);
});

describe("CORS", () => {
  test("bun-engine's option: any origin, preflight 204", async () => {
    await using at = Station.open({ cors: { origin: "*", credentials: true, methods: "GET,POST", maxAge: 60 } });
    const answer = await at.fetch("EIO=4&transport=polling", { headers: { origin: "https://a.example" } });
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
    const preflight = await at.fetch("EIO=4&transport=polling", {
      method: "OPTIONS",
      headers: { origin: "https://a.example", "access-control-request-headers": "authorization" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-methods")).toBe("GET, POST");
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization");
    expect(preflight.headers.get("access-control-max-age")).toBe("60");
  });

  test("a policy of the gateway: a list of origins, the preflight as it says", async () => {
    await using at = Station.open({
      cors: {
        origins: ["https://a.example"],
        wildcard: "literal",
        methods: ["GET", "POST"],
        headers: "echo",
        credentials: true,
        preflight: { status: 200, body: "OK" },
      },
    });
    const from = (origin: string) => at.fetch("EIO=9&transport=polling", { headers: { origin } });
    expect((await from("https://a.example")).headers.get("access-control-allow-origin")).toBe("https://a.example");
    expect((await from("https://b.example")).headers.get("access-control-allow-origin")).toBeNull();
    const preflight = await at.fetch("", { method: "OPTIONS", headers: { origin: "https://a.example" } });
    expect([preflight.status, await preflight.text()]).toEqual([200, "OK"]);
  });

  test("a poll carries the headers too", async () => {
    await using at = Station.open({ cors: { origin: "https://a.example" } });
    at.engine.on("connection", (socket) => socket.send("x"));
    const client = await at.polling(4);
    const answer = await client.poll({ headers: { origin: "https://a.example" } });
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://a.example");
  });
});
