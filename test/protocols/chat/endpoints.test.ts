import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { section } from "../../../src/config/setting.ts";
import { chat } from "../../../src/protocols/chat/protocol.ts";
import { protocols as allProtocols } from "../../../src/protocols/index.ts";
import { defineProtocol } from "../../../src/protocols/protocol.ts";
import { rawsocket } from "../../../src/rawsocket/endpoint.ts";
import { frameBytes, PING, PONG, WireClient } from "../../support/wire.ts";
import { ends } from "./client.ts";
import { enveloped, failed, outcome, type Stage, Stages, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

/** Another protocol on `/`, as fleet is: it takes what has no `token` parameter. */
const neighbour = defineProtocol({
  name: "neighbour",
  settings: section("NEIGHBOUR", {}),
  build: () => {
    const close = { code: 4999, reason: "neighbour" };
    const limits = { maxFrameBytes: 100, maxOutboxBytes: 100, maxInbox: 1, pingInterval: 1_000, pongTimeout: 1_000 };
    const endpoint = rawsocket<undefined>({
      name: "neighbour",
      paths: ["/"],
      claims: (url) => !url.searchParams.has("token"),
      opened: (channel) => channel.close(4999, "neighbour"),
      received() {},
      limits,
      closes: { slowReader: close, noPong: close, drain: close, full: close },
    });
    return { sockets: [endpoint] };
  },
});

/** The close code of a socket at a path without a good token; null where nobody takes it. */
async function codeAt(at: Stage, path: string): Promise<number | null> {
  const { code } = await at.knock(path).closed;
  return code === 1002 || code === 1006 ? null : code;
}

describe("section 1: sockets", () => {
  test("both paths in both spellings", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    for (const path of ["/", "/chat/ws", "/chat/ws/"]) {
      const client = await stage.knock(`${path}?token=${alice!.token}`).opened();
      expect([path, (await client.say(room, path)).confirmed]).toEqual([path, true]);
    }
    expect(await stage.texts(bobby!, room)).toEqual(["/", "/chat/ws", "/chat/ws/"]);
  });

  test("C-1.3 beside another system on `/` the token parameter decides", async () => {
    for (const [root, withToken, without] of [
      ["auto", 4002, 4999],
      ["token", 4002, 4999],
      ["off", null, 4999],
    ] as const) {
      const both = await stages.start({ protocols: [neighbour, chat], env: { CHAT_ROOT: root } });
      expect([root, await codeAt(both, "/?token=x"), await codeAt(both, "/?other=1")]).toEqual([
        root,
        withToken,
        without,
      ]);
      expect([root, await codeAt(both, "/?token=")]).toEqual([root, withToken === null ? null : 4001]);
      expect(await codeAt(both, "/chat/ws")).toBe(4001);
    }
  });

  test("C-1.3 beside fleet each gets its own, as both contracts say", async () => {
    const both = await stages.start({ protocols: allProtocols, env: { PROTOCOLS: "fleet,chat" } });
    expect([await codeAt(both, "/?token=x"), await codeAt(both, "/?a=1&token=")]).toEqual([4002, 4001]);
    const fleet = await both.knock("/").opened();
    fleet.raw("nonsense");
    expect(await fleet.next()).toMatchObject({ params: { type: "error" } });
    const { token } = await both.person();
    const app = await both.knock(`/?token=${token}`).opened();
    expect((await app.say(0, "?")).reason).toBe("not a participant of this room");
  });

  test("C-1.3 alone, auto takes all of `/`, token what has the parameter, off nothing", async () => {
    for (const [root, withToken, without] of [
      ["auto", 4002, 4001],
      ["token", 4002, null],
      ["off", null, null],
    ] as const) {
      const alone = await stages.start({ env: { CHAT_ROOT: root } });
      expect([root, await codeAt(alone, "/?token=x"), await codeAt(alone, "/")]).toEqual([root, withToken, without]);
    }
  });

  test("C-1.4 plain HTTP on the socket's path gets 426, on `/` it is left to others", async () => {
    for (const path of ["/chat/ws", "/chat/ws/"]) {
      for (const method of ["GET", "POST"]) {
        const { status, body } = await stage.call(method, path);
        expect([status, body]).toEqual([426, failed("websocket upgrade required")]);
      }
    }
    const root = await stage.call("GET", "/?token=x");
    expect([root.status, root.body]).toEqual([404, { statusCode: 404, error: "Not found", message: "Not found" }]);
  });

  test("C-1.6 no compression is agreed on", async () => {
    const { token } = await stage.person();
    const headers = { "Sec-WebSocket-Extensions": "permessage-deflate" };
    const client = await WireClient.open(`${stage.url}/chat/ws?token=${token}`, { headers });
    expect([client.status, client.header("sec-websocket-extensions")]).toEqual([101, null]);
    client.destroy();
  });

  test("C-1.9 a socket of an unlisted origin is closed with 4012; a listed one and none at all pass", async () => {
    const picky = await stages.start({ env: { CHAT_ORIGINS: "https://app.example" } });
    const { token } = await stage.person();
    const knock = (headers: Record<string, string>) => picky.knock(`/chat/ws?token=${token}`, { headers }).opened();
    expect(await outcome(await knock({ origin: "https://evil.example" }))).toEqual(told(ends.unauthorized));
    for (const headers of [{ origin: "https://app.example" }, {}]) {
      expect((await (await knock(headers as Record<string, string>)).say(0, "?")).confirmed).toBe(false);
    }
  });

  test("C-5.8 a good connection is silent; C-5.9 it is pinged, and its own pings are answered", async () => {
    const timed = await stages.startTimed({ CHAT_PING_SECONDS: "10" });
    const { token } = await timed.person();
    const client = await WireClient.open(`${timed.url}/chat/ws?token=${token}`);
    client.write(frameBytes(PING, "are you there"));
    expect(await client.next()).toMatchObject({ opcode: PONG, text: "are you there" });
    await timed.pass(10_000);
    expect(await client.next()).toMatchObject({ opcode: PING });
    expect(client.frames.length).toBe(2);
    client.destroy();
  });
});

describe("section 1: REST", () => {
  test("C-1.1 C-1.5 both spellings, without a redirect, on the same port", async () => {
    const alice = await stage.person();
    const room = await stage.room(alice);
    for (const path of ["/rooms", "/chat/rooms", `/rooms/${room}`, `/chat/rooms/${room}`]) {
      const answers = [
        await stage.call("GET", path, { as: alice }),
        await stage.call("GET", `${path}/`, { as: alice }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
      expect(answers[0]!.body).toEqual(answers[1]!.body);
    }
  });

  test("C-1.7 any Content-Type or none, and bodies on GET and DELETE do not matter", async () => {
    const alice = await stage.person();
    for (const type of ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"]) {
      const options = { as: alice, body: { users: [] }, headers: { "content-type": type } };
      expect((await stage.call("POST", "/rooms", options)).status).toBe(200);
    }
    const room = await stage.room(alice);
    const headers = { "content-type": "application/json" };
    expect((await stage.call("DELETE", `/rooms/${room}`, { as: alice, body: "{not json", headers })).status).toBe(200);
    expect((await stage.call("GET", "/rooms", { as: alice, headers })).body).toEqual(enveloped([]));
  });

  test("C-1.8 X-Request-ID is returned, or made", async () => {
    const alice = await stage.person();
    const id = async (path: string, given?: string) =>
      (
        await stage.call("GET", path, { as: alice, ...(given ? { headers: { "x-request-id": given } } : {}) })
      ).headers.get("x-request-id");
    expect(await id("/rooms", "Abc-123")).toBe("Abc-123");
    expect(await id("/rooms/0", "a".repeat(64))).toBe("a".repeat(64));
    expect(await id("/rooms/a/b", "mine")).toBe("mine");
    for (const given of ["a".repeat(65), "a b", "a_b", undefined]) {
      expect(await id("/rooms", given)).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test("C-1.9 any origin, with preflight; or those of a list", async () => {
    const ask = async (at: Stage, method: string, origin: string) => {
      const headers = {
        origin,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "authorization",
      };
      const answer = await fetch(`${at.url}/rooms`, { method, headers });
      return [answer.status, answer.headers.get("access-control-allow-origin")];
    };
    expect(await ask(stage, "OPTIONS", "https://a.example")).toEqual([200, "https://a.example"]);
    expect(await ask(stage, "GET", "https://a.example")).toEqual([401, "*"]);
    const picky = await stages.start({ env: { CHAT_ORIGINS: "https://app.example" } });
    expect(await ask(picky, "OPTIONS", "https://app.example")).toEqual([200, "https://app.example"]);
    expect(await ask(picky, "GET", "https://app.example")).toEqual([401, "https://app.example"]);
    expect(await ask(picky, "OPTIONS", "https://evil.example")).toEqual([200, null]);
    expect(await ask(picky, "GET", "https://evil.example")).toEqual([401, null]);
  });

  test("C-3.10 C-3.11 an unknown path, a wrong method: the error body all the same", async () => {
    const alice = await stage.person();
    for (const path of ["/rooms/1/2", "/chat", "/chat/nothing", "/chat/rooms/1/2/3"]) {
      const { status, body } = await stage.call("GET", path, { as: alice });
      expect([path, status, body]).toEqual([path, 404, failed("not found")]);
    }
    const wrong = await stage.call("PATCH", "/rooms", { as: alice });
    expect([wrong.status, wrong.body]).toEqual([405, failed("method not allowed")]);
    expect(wrong.headers.get("allow")).toBe("POST, GET, HEAD, PUT, OPTIONS");
    expect((await stage.call("POST", "/chat/rooms/1", { as: alice })).headers.get("allow")).toBe(
      "DELETE, GET, HEAD, OPTIONS",
    );
  });
});
