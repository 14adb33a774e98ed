import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EVENTS } from "./client.ts";
import { credentialsOf, join3, join4, REFUSED_3, REFUSED_4 } from "./joining.ts";
import { RawSocket } from "./raw.ts";
import { API, type Person, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
let ann: Person;
beforeAll(async () => {
  stage = await stages.start();
  ann = await stage.person();
});
afterAll(() => stages.stop());

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
    const raw = await RawSocket.open(stage.url, { revision: 3 });
    expect([await raw.next(), await raw.next()]).toEqual([expect.stringMatching(/^0/), "40"]);
    raw.send("40/v1/conversations/nothing,");
    expect(await raw.next()).toBe('44/v1/conversations/nothing,"Invalid namespace"');
    raw.close();
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
