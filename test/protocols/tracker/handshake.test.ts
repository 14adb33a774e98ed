import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { joined } from "./client.ts";
import { RawPolling, RawSocket } from "./raw.ts";
import { PATH, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());

describe("paths", () => {
  test("T-1.1 both spellings of every path give the same answer, without a redirect", async () => {
    const stage = await stages.startTimed();
    const paths = ["/track/generate-pin", "/user/generate"];
    const posts = ["/user", "/login", "/login/form", "/login/v2", "/login/v2/refresh"];
    for (const [method, path] of [...paths.map((path) => ["GET", path]), ...posts.map((path) => ["POST", path])]) {
      const plain = await stage.call(method!, path!);
      // Past the limits of the first call.
      stage.clock.advance(61_000);
      const slashed = await stage.call(method!, `${path}/`);
      expect([path, slashed.status]).toEqual([path, plain.status]);
      expect(plain.status).toBeLessThan(500);
      expect([301, 302, 307, 308, 404]).not.toContain(plain.status);
    }
    for (const path of ["/track-sio/sio/", "/track-sio/sio"]) {
      const response = await fetch(`${stage.url}${path}?EIO=4&transport=polling`, { redirect: "manual" });
      expect([path, response.status]).toEqual([path, 200]);
      expect(await response.text()).toStartWith("0{");
      const raw = await RawSocket.open(stage.url, { path });
      expect(await raw.next()).toStartWith("0{");
      raw.close();
    }
  });

  test("T-1.11 other paths under /user and /login are not taken", async () => {
    for (const [method, path] of [
      ["GET", "/user/7"],
      ["POST", "/user/generate/x"],
      ["POST", "/login/v3"],
      ["GET", "/login/v2/other"],
      ["GET", "/track"],
    ] as const) {
      expect([path, (await stage.call(method, path)).status]).toEqual([path, 404]);
    }
  });
});

describe("transports", () => {
  const ways = {
    polling: ["polling"],
    websocket: ["websocket"],
    upgrade: ["polling", "websocket"],
  } as const;

  for (const generation of [4, 2] as const) {
    const clause = generation === 4 ? "T-1.2 EIO4" : "T-1.3 EIO3";
    for (const [name, transports] of Object.entries(ways)) {
      test(`${clause} serves a stock client by ${name}`, async () => {
        const pin = await stage.pin();
        const client = await stage.client({ generation, transports });
        if (name === "upgrade") {
          while (client.transport !== "websocket") await client.settle();
        }
        expect(client.transport).toBe(name === "polling" ? "polling" : "websocket");
        await client.join(pin);
        client.move(pin, 1.5, 2.5);
        expect(await client.until("move")).toEqual({ details: { type: "success", msg: { lat: 1.5, long: 2.5 } } });
        expect(await client.ask("join_room", pin)).toEqual([]);
        expect(await client.next()).toEqual(joined(client.person, pin) as never);
      });
    }
  }

  test("T-1.3 with TRACKER_EIO3=off only revision 4 is served", async () => {
    const modern = await stages.start({ env: { TRACKER_EIO3: "off" } });
    const old = await fetch(`${modern.url}${PATH}?EIO=3&transport=polling`);
    expect(old.status).toBe(400);
    expect(await old.json()).toEqual({ code: 5, message: "Unsupported protocol version" });
    expect((await fetch(`${modern.url}${PATH}?EIO=4&transport=polling`)).status).toBe(200);
  });

  test("T-1.4 handshake errors", async () => {
    const ask = async (query: string, method = "GET") => {
      const response = await fetch(`${stage.url}${PATH}?${query}`, { method });
      return [response.status, await response.json()];
    };
    const version = [400, { code: 5, message: "Unsupported protocol version" }];
    expect(await ask("EIO=2&transport=polling")).toEqual(version);
    expect(await ask("EIO=5&transport=polling")).toEqual(version);
    expect(await ask("transport=polling")).toEqual(version);
    for (const revision of [3, 4]) {
      const unknownSid = [400, { code: 1, message: "Session ID unknown" }];
      expect(await ask(`EIO=${revision}&transport=polling&sid=nobody`)).toEqual(unknownSid);
      const unknownTransport = [400, { code: 0, message: "Transport unknown" }];
      expect(await ask(`EIO=${revision}&transport=carrier-pigeon`)).toEqual(unknownTransport);
      expect(await ask(`EIO=${revision}`)).toEqual(unknownTransport);
    }
  });

  test("T-1.5 the open packet says what the session may", async () => {
    const limited = await stages.start({ env: { TRACKER_MAX_MESSAGE_BYTES: "20000" } });
    const common = { sid: expect.any(String), pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 20_000 };
    const body = await (await fetch(`${limited.url}${PATH}?EIO=4&transport=polling`)).text();
    expect(JSON.parse(body.slice(1))).toEqual({ ...common, upgrades: ["websocket"] });
    const raw = await RawSocket.open(limited.url);
    expect(JSON.parse((await raw.next())!.slice(1))).toEqual({ ...common, upgrades: [] });
    raw.close();
  });

  test("T-1.6 another namespace is refused and / goes on", async () => {
    const { token } = await stage.person();
    const raw = await RawSocket.open(stage.url, { token });
    await raw.connect();
    raw.send("40/admin,", '421["leave_room",""]');
    expect(await raw.next()).toBe('44/admin,{"message":"Invalid namespace"}');
    expect(await raw.next()).toBe("431[]");
    raw.close();

    const old = await RawSocket.open(stage.url, { token, revision: 3 });
    await old.connect();
    old.send("40/admin", '421["leave_room",""]');
    expect(await old.next()).toBe('44/admin,"Invalid namespace"');
    expect(await old.next()).toBe("431[]");
    old.close();
  });

  test("T-1.7 a session without CONNECT ends after 10 s by transport close", async () => {
    const timed = await stages.startTimed();
    const raw = await RawSocket.open(timed.url);
    await raw.next();
    timed.clock.advance(9_000);
    expect(raw.ws.readyState).toBe(WebSocket.OPEN);
    timed.clock.advance(1_100);
    expect(await raw.rest()).toEqual([]);
    await raw.closed;
  });

  test("T-1.12 EIO3: CONNECT unasked, ping answered, length-framed bodies", async () => {
    const { token } = await stage.person();
    const response = await fetch(`${stage.url}${PATH}?EIO=3&transport=polling`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const body = await response.text();
    const open = /^(\d+):(0\{[^}]*\})2:40$/.exec(body) ?? /^(\d+):(0\{[^}]*\})$/.exec(body);
    expect(open?.[2]).toHaveLength(Number(open?.[1]));

    const polling = await RawPolling.open(stage.url, { token, revision: 3 });
    expect(await polling.take(1)).toEqual(["40"]);
    expect(await polling.send("2")).toBe(200);
    expect(await polling.take(1)).toEqual(["3"]);

    const raw = await RawSocket.open(stage.url, { token, revision: 3 });
    expect(await raw.next()).toStartWith("0{");
    expect(await raw.next()).toBe("40");
    raw.send("2", "2probe");
    expect(await raw.next()).toBe("3");
    raw.close();
  });

  test("T-1.12 EIO3: a missing ping ends the session after interval and timeout", async () => {
    const timed = await stages.startTimed();
    const { token } = await timed.person();
    const raw = await RawSocket.open(timed.url, { token, revision: 3 });
    await raw.connect();
    timed.clock.advance(40_000);
    raw.send("2");
    expect(await raw.next()).toBe("3");
    timed.clock.advance(44_000);
    expect(raw.ws.readyState).toBe(WebSocket.OPEN);
    timed.clock.advance(2_000);
    expect(await raw.rest()).toEqual([]);
  });
});

describe("origins", () => {
  const everywhere = { "access-control-allow-origin": "*", "access-control-allow-credentials": "true" };
  const corsOf = (headers: Headers) =>
    Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-")));

  test("T-1.8 with * every REST and polling answer allows all origins and credentials", async () => {
    const origin = { origin: "https://app.example" };
    const { token } = await stage.person();
    for (const headers of [{}, origin]) {
      expect(corsOf((await stage.call("GET", "/track/generate-pin/", undefined, headers)).headers)).toEqual(everywhere);
      expect(corsOf((await stage.call("PUT", "/user/", undefined, headers)).headers)).toEqual(everywhere);
      for (const revision of [3, 4]) {
        const address = `${stage.url}${PATH}?EIO=${revision}&transport=polling`;
        const open = await fetch(address, { headers: { ...headers, authorization: `Bearer ${token}` } });
        expect(corsOf(open.headers)).toEqual(everywhere);
        const bad = await fetch(`${address}&sid=nobody`, { headers });
        expect(corsOf(bad.headers)).toEqual(everywhere);
      }
    }
  });

  test("T-1.9 a preflight on any path of the table", async () => {
    const paths = [
      ...["/track-sio/sio", "/track/generate-pin", "/user", "/user/generate"],
      ...["/login", "/login/form", "/login/v2", "/login/v2/refresh"],
    ];
    for (const path of paths.flatMap((path) => [path, `${path}/`])) {
      const response = await fetch(stage.url + path, {
        method: "OPTIONS",
        headers: {
          origin: "https://app.example",
          "access-control-request-method": "GET",
          "access-control-request-headers": "authorization,content-type",
        },
      });
      expect([path, response.status, await response.text()]).toEqual([path, 200, "OK"]);
      expect(corsOf(response.headers)).toEqual({
        "access-control-allow-origin": "https://app.example",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization,content-type",
        "access-control-max-age": "600",
      });
    }
  });

  test("T-1.10 an origin list", async () => {
    const listed = await stages.start({ env: { TRACKER_ORIGINS: "https://app.example,https://web.example" } });
    const { token } = await listed.person();
    const ask = (origin: string | null) =>
      listed.call("GET", "/track/generate-pin", undefined, {
        authorization: "Bearer none",
        ...(origin === null ? {} : { origin }),
      });
    const good = await ask("https://web.example");
    expect(corsOf(good.headers)["access-control-allow-origin"]).toBe("https://web.example");
    expect(good.headers.get("vary")).toContain("Origin");
    const bad = await ask("https://evil.example");
    expect([bad.status, corsOf(bad.headers)]).toEqual([401, {}]);

    const rejection = [
      expect.stringMatching(/^0/),
      expect.stringMatching(/^40\{"sid":"[^"]+"\}$/),
      '42["error",{"details":{"type":"origin_not_allowed","msg":"Origin not allowed"}}]',
      "41",
    ];
    const refused = await RawSocket.open(listed.url, { token, headers: { origin: "https://evil.example" } });
    refused.send("40");
    expect(await refused.rest()).toEqual(rejection);

    for (const headers of [{ origin: "https://app.example" }, {}]) {
      const raw = await RawSocket.open(listed.url, { token, headers: headers as Record<string, string> });
      await raw.connect();
      raw.send('421["leave_room",""]');
      expect(await raw.next()).toBe("431[]");
      raw.close();
    }
    const polling = await fetch(`${listed.url}${PATH}?EIO=4&transport=polling`, {
      headers: { origin: "https://evil.example" },
    });
    expect([polling.status, corsOf(polling.headers)]).toEqual([200, {}]);
  });
});
