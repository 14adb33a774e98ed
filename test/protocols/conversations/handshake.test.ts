import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { connectClient, EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { API, type Person, person, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
let ann: Person;
beforeAll(async () => {
  stage = await stages.start();
  ann = await stage.person();
});
afterAll(() => stages.stop());

const query = (credentials: Record<string, string>) => `&${new URLSearchParams(credentials)}`;
const credentialsOf = ({ id, token }: Person, user_role = "SELLER") => ({ token, user_id: id, user_role });

/** The first frames a client of revision 3 gets after it asked for the chat. */
async function join3(
  at: Stage,
  credentials: Record<string, string>,
  options: { inside?: boolean; headers?: Record<string, string> } = {},
) {
  const { inside = false, headers = {} } = options;
  const text = query(credentials);
  const raw = await RawSocket.open(at.url, { revision: 3, query: inside ? "" : text, headers });
  const opening = [await raw.next(), await raw.next()];
  raw.send(inside ? `40${EVENTS}?${text.slice(1)},` : `40${EVENTS},`);
  return { raw, opening, answer: await raw.next() };
}

async function join4(at: Stage, credentials: Record<string, unknown>, headers: Record<string, string> = {}) {
  const raw = await RawSocket.open(at.url, { headers });
  await raw.next();
  raw.send(`40${EVENTS},${JSON.stringify(credentials)}`);
  return { raw, answer: await raw.next() };
}

const REFUSED_3 = `44${EVENTS},"Authentication Error"`;
const REFUSED_4 = `44${EVENTS},{"message":"Authentication Error"}`;

describe("the endpoint (section 1)", () => {
  test("V-1.1 V-1.2 both spellings of the path, both revisions", async () => {
    for (const path of [`${API}/sockets`, `${API}/sockets/`]) {
      for (const revision of [3, 4] as const) {
        const raw = await RawSocket.open(stage.url, { revision, path });
        expect(await raw.next()).toStartWith("0{");
        raw.close();
      }
    }
  });

  test("V-1.3 V-1.4 V-1.5 bad openings", async () => {
    const open = async (text: string) => {
      const response = await fetch(`${stage.url}${API}/sockets/?${text}`);
      return [response.status, await response.json()];
    };
    const unsupported = [400, { code: 5, message: "Unsupported protocol version" }];
    expect(await open("EIO=5&transport=websocket")).toEqual(unsupported);
    expect(await open("transport=websocket")).toEqual(unsupported);
    expect(await open("EIO=4&transport=polling")).toEqual([400, { code: 0, message: "Transport unknown" }]);
    expect(await open("EIO=4&transport=websocket")).toEqual([400, { code: 3, message: "Bad request" }]);
    const polling = await stages.start({ env: { CONVERSATIONS_TRANSPORTS: "websocket,polling" } });
    expect((await fetch(`${polling.url}${API}/sockets/?EIO=4&transport=polling`)).status).toBe(200);
  });

  test("V-1.6 V-1.10 V-1.11 the frames of revision 3, with the query inside the CONNECT", async () => {
    const { raw, opening, answer } = await join3(stage, credentialsOf(ann), { inside: true });
    expect(JSON.parse(opening[0]!.slice(1))).toEqual({
      sid: expect.any(String),
      upgrades: [],
      pingInterval: 25_000,
      pingTimeout: 20_000,
      maxPayload: 65_536,
    });
    expect(opening[1]).toBe("40");
    expect(answer).toBe(`40${EVENTS},`);
    raw.send("2");
    expect(await raw.next()).toBe("3");
    raw.send(`42${EVENTS},7["get_active_users"]`);
    const list = { user_id: ann.id, user_role: "SELLER", rooms: [] };
    expect(await raw.next()).toBe(`42${EVENTS},["active_user_list",${JSON.stringify(list)}]`);
    expect(await raw.next()).toBe(`43${EVENTS},7[{"status":true}]`);
    raw.send(`42${EVENTS},["typing",{}]`);
    expect(await raw.next()).toStartWith(`42${EVENTS},["error_message",`);
    raw.close();
  });

  test("V-1.11 the frames of revision 4", async () => {
    const { raw, answer } = await join4(stage, credentialsOf(ann));
    expect(answer).toMatch(new RegExp(`^40${EVENTS},{"sid":"[^"]+"}$`));
    raw.close();
  });

  test("V-1.9 other namespaces, and the root of revision 4, are invalid", async () => {
    for (const name of ["/v1/conversations/nothing", "/"]) {
      const raw = await RawSocket.open(stage.url);
      await raw.next();
      raw.send(name === "/" ? "40" : `40${name},`);
      expect(await raw.next()).toBe(`44${name === "/" ? "" : `${name},`}{"message":"Invalid namespace"}`);
      raw.close();
    }
  });

  test("V-1.12 the browser bundle", async () => {
    const response = await fetch(`${stage.url}${API}/sockets/socket.io.js`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/javascript"]);
    expect(await response.text()).toContain("Socket.IO v4");
    const without = await stages.start({ env: { CONVERSATIONS_SERVE_CLIENT: "false" } });
    expect((await fetch(`${without.url}${API}/sockets/socket.io.js`)).status).toBe(404);
  });

  test("V-1.14 CORS, and sockets from elsewhere", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_ORIGINS: "https://shop.example" } });
    const ask = (origin: string, method: string) =>
      fetch(`${at.url}${API}/rooms`, { method, headers: { origin, "x-chozoi-token": ann.token } });
    const allowed = await ask("https://shop.example", "OPTIONS");
    expect([allowed.status, await allowed.text()]).toEqual([204, ""]);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("https://shop.example");
    expect(allowed.headers.get("access-control-allow-methods")).toBe("GET, POST, PUT, DELETE");
    expect(allowed.headers.get("access-control-allow-headers")).toBe("x-chozoi-token, content-type, authorization");
    expect((await ask("https://shop.example", "GET")).headers.get("access-control-allow-origin")).toBe(
      "https://shop.example",
    );
    const foreign = await ask("https://evil.example", "GET");
    expect([foreign.status, foreign.headers.get("access-control-allow-origin")]).toEqual([200, null]);
    const { answer, raw } = await join3(at, credentialsOf(ann), { headers: { origin: "https://evil.example" } });
    expect(answer).toBe(REFUSED_3);
    raw.close();
    expect((await join4(at, credentialsOf(ann), { origin: "https://evil.example" })).answer).toBe(REFUSED_4);
    expect((await join4(at, credentialsOf(ann), { origin: "https://shop.example" })).answer).toStartWith("40");
  });
});

describe("who may connect (section 2)", () => {
  test("V-2.5 V-2.7 V-2.8 V-8.17 every reason looks the same, to both revisions", async () => {
    const good = credentialsOf(ann);
    const expired = await person(ann.id, { exp: Math.floor(Date.now() / 1000) - 60 });
    const [header, payload] = ann.token.split(".");
    const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${payload}.`;
    const bad: Record<string, string>[] = [
      {},
      { ...good, token: "" },
      { ...good, token: "nonsense" },
      { ...good, token: `${header}.${payload}.AAAA` },
      { ...good, token: none },
      { ...good, token: expired.token },
      { ...good, user_id: "somebody" },
      { ...good, user_id: "" },
      { ...good, user_role: "ADMIN" },
      { ...good, user_role: "seller" },
      { token: good.token, user_id: good.user_id },
      credentialsOf(await person(ann.id, { role: "BUYER" })),
      credentialsOf(await person("not.an.id")),
    ];
    for (const credentials of bad) {
      const { raw, answer } = await join3(stage, credentials);
      expect(answer).toBe(REFUSED_3);
      raw.close();
      const four = await join4(stage, credentials);
      expect(four.answer).toBe(REFUSED_4);
      four.raw.close();
    }
  });

  test("V-2.7 V-2.8 what stock clients see of it", async () => {
    const credentials = { ...credentialsOf(ann), token: "nonsense" };
    const two = await connectClient(stage.url, ann, { credentials });
    expect(await two.next()).toEqual(["error", "Authentication Error"]);
    two.close();
    const four = await connectClient(stage.url, ann, { credentials, generation: 4 });
    expect(await four.next()).toEqual(["connect_error", "Authentication Error"]);
    four.close();
  });

  test("V-2.2 the leeway of 30 s, V-2.3 a number as user, V-2.4 roles in any case and as a list", async () => {
    const late = await person(ann.id, { exp: Math.floor(Date.now() / 1000) - 20 });
    expect((await join4(stage, credentialsOf(late))).answer).toStartWith("40");
    const numbered = await person("77", { sub: undefined, uid: 77, roles: ["admin", "Seller"] });
    const env = { CONVERSATIONS_JWT_USER_CLAIM: "uid", CONVERSATIONS_JWT_ROLE_CLAIM: "roles" };
    const at = await stages.start({ env });
    expect((await join4(at, credentialsOf(numbered))).answer).toStartWith("40");
    expect((await join4(at, credentialsOf(numbered, "BUYER"))).answer).toBe(REFUSED_4);
  });

  test("V-2.6 what the namespace is given counts more than the query", async () => {
    const raw = await RawSocket.open(stage.url, { query: query({ ...credentialsOf(ann), user_id: "somebody" }) });
    await raw.next();
    raw.send(`40${EVENTS},${JSON.stringify({ user_id: ann.id })}`);
    expect(await raw.next()).toStartWith(`40${EVENTS},`);
    raw.close();
  });

  test("V-2.9 a refused connection stays until its time is over, V-2.10 a silent one is closed with 4408", async () => {
    const env = { CONVERSATIONS_REFUSED_LINGER_S: "2", CONVERSATIONS_CONNECT_TIMEOUT_S: "1" };
    const at = await stages.start({ env });
    const { raw, answer } = await join3(at, {});
    expect(answer).toBe(REFUSED_3);
    const silent = await RawSocket.open(at.url, { revision: 3 });
    const order: string[] = [];
    const seen = [raw.closed.then(() => order.push("refused")), silent.closed.then(() => order.push("silent"))];
    expect(await silent.closed).toBe(4408);
    expect(await raw.closed).toBe(4408);
    await Promise.all(seen);
    expect(order).toEqual(["silent", "refused"]);
  });

  test("V-2.13 V-2.14 headers of a trusted proxy", async () => {
    const mode = { CONVERSATIONS_AUTH: "trusted-gateway" };
    const trusting = await stages.start({ env: { ...mode, CONVERSATIONS_TRUSTED_PROXIES: "127.0.0.0/8" } });
    const headers = { "x-chozoi-user-id": "12" };
    expect((await join4(trusting, { user_role: "SELLER" }, headers)).answer).toStartWith("40");
    expect((await join4(trusting, { user_role: "SELLER", user_id: "12" }, headers)).answer).toStartWith("40");
    expect((await join4(trusting, { user_role: "SELLER", user_id: "13" }, headers)).answer).toBe(REFUSED_4);
    expect((await join4(trusting, { user_role: "SELLER", user_id: "13" })).answer).toBe(REFUSED_4);
    const buyer = { ...headers, "x-chozoi-user-role": "BUYER", "x-chozoi-shop-id": "9" };
    expect((await join4(trusting, { user_role: "SELLER" }, buyer)).answer).toBe(REFUSED_4);
    expect((await trusting.call(null, "GET", "/rooms", undefined, headers)).body).toMatchObject({ user_id: "12" });
    expect((await trusting.call(null, "GET", "/rooms")).status).toBe(401);
    const behind = await stages.start({
      env: { ...mode, CONVERSATIONS_TRUSTED_PROXIES: "127.0.0.0/8", TRUSTED_PROXIES: "127.0.0.0/8" },
    });
    const forwarded = { ...headers, "x-forwarded-for": "203.0.113.7" };
    expect((await join4(behind, { user_role: "SELLER" }, forwarded)).answer).toStartWith("40");
    expect((await behind.call(null, "GET", "/rooms", undefined, forwarded)).status).toBe(200);
    const distrusting = await stages.start({ env: { ...mode, CONVERSATIONS_TRUSTED_PROXIES: "10.0.0.0/8" } });
    expect((await join4(distrusting, { user_role: "SELLER" }, headers)).answer).toBe(REFUSED_4);
    expect((await distrusting.call(null, "GET", "/rooms", undefined, headers)).status).toBe(401);
  });

  test("V-2.15 in jwt mode such headers have no effect", async () => {
    expect((await stage.call(null, "GET", "/rooms", undefined, { "x-chozoi-user-id": ann.id })).status).toBe(401);
  });

  test("V-2.17 one socket too many is refused, the others stay", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_MAX_SOCKETS_PER_USER: "1" } });
    const first = await join4(at, credentialsOf(ann));
    expect((await join4(at, credentialsOf(ann))).answer).toBe(`44${EVENTS},{"message":"Too Many Connections"}`);
    expect((await join3(at, credentialsOf(ann))).answer).toBe(`44${EVENTS},"Too Many Connections"`);
    first.raw.send(`42${EVENTS},1["get_active_users"]`);
    expect(await first.raw.next()).toContain("active_user_list");
  });

  test("V-2.16 V-7.4 a socket is put out when its token and the leeway have ended", async () => {
    const clock = new ManualClock(Math.ceil(Date.now() / 1000) * 1000);
    const at = await stages.start({ clock });
    const short = await person(undefined, { exp: clock.now() / 1000 + 5 }, clock);
    const { raw } = await join4(at, credentialsOf(short));
    clock.advance(34_000);
    raw.send(`42${EVENTS},1["get_active_users"]`);
    expect(await raw.next()).toContain("active_user_list");
    expect(await raw.next()).toStartWith(`43${EVENTS},1`);
    clock.advance(1_000);
    expect(await raw.next()).toBe(`41${EVENTS},`);
    expect(await raw.closed).toBe(4005);
  });

  test("V-4.20 verify_user brings a later token, V-7.5 and puts out who shows a wrong one", async () => {
    const clock = new ManualClock(Math.ceil(Date.now() / 1000) * 1000);
    const at = await stages.start({ clock });
    const short = await person(undefined, { exp: clock.now() / 1000 + 5 }, clock);
    const later = await person(short.id, {}, clock);
    const { raw } = await join3(at, credentialsOf(short));
    raw.send(`42${EVENTS},["verify_user",${JSON.stringify(credentialsOf(later))}]`);
    expect(await raw.next()).toBe(`42${EVENTS},["verify_user",{"status":true}]`);
    clock.advance(40_000);
    raw.send("2");
    expect(await raw.next()).toBe("3");
    for (const wrong of [
      credentialsOf(ann),
      { ...credentialsOf(later), user_role: "BUYER" },
      { ...credentialsOf(later), token: "" },
    ]) {
      const { raw: other } = await join3(at, credentialsOf(later));
      other.send(`42${EVENTS},["verify_user",${JSON.stringify(wrong)}]`);
      expect(await other.next()).toBe(`42${EVENTS},["verify_user",{"status":false}]`);
      expect(await other.next()).toBe(`41${EVENTS},`);
      expect(await other.closed).toBe(4500);
    }
    raw.close();
  });
});
