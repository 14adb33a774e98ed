import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { FORBIDDEN, fault, NO_ROOM, ROLE_REQUIRED, shown, UNAUTHORIZED } from "./answers.ts";
import { type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

describe("requests", () => {
  test("V-2.11 V-2.12 x-chozoi-token first, else the bearer token", async () => {
    const ann = await stage.person();
    const call = (headers: Record<string, string>) => stage.call(null, "GET", "/rooms", undefined, headers);
    expect((await call({ "x-chozoi-token": ann.token })).status).toBe(200);
    expect((await call({ authorization: `Bearer ${ann.token}` })).status).toBe(200);
    expect((await call({ authorization: "Bearer x", "x-chozoi-token": ann.token })).status).toBe(200);
    expect(shown(await call({ authorization: `Bearer ${ann.token}`, "x-chozoi-token": "x" }))).toEqual(UNAUTHORIZED);
    expect(shown(await call({}))).toEqual(UNAUTHORIZED);
  });

  test("V-1.13 V-3.6 a last slash, and room ids that are percent-encoded", async () => {
    const room = await stage.room();
    for (const path of [
      "/rooms/",
      `/rooms/${room.id}/`,
      `/rooms/${room.id.replace(".", "%2E")}`,
      `/messages/?room_id=${room.id}`,
    ]) {
      expect((await stage.call(room.buyer, "GET", path)).status).toBe(200);
    }
  });

  test("V-3.1 an empty body is {}, another one must be a JSON object", async () => {
    const room = await stage.room();
    const enable = (body?: string) => stage.call(room.buyer, "PUT", `/rooms/${room.id}/enable`, body);
    expect(shown(await enable())).toEqual(ROLE_REQUIRED);
    for (const body of ["{", "[]", '"x"', "null", "7"]) {
      expect(shown(await enable(body))).toEqual(fault(400, "BAD_REQUEST", "Invalid body"));
    }
    expect((await enable('{"role":"BUYER","more":1,"__proto__":{"role":"X"}}')).status).toBe(200);
  });

  test("V-3.2 V-3.3 V-3.4 V-3.5 whose side it is", async () => {
    const room = await stage.room();
    const stranger = await stage.person();
    const get = (query: string, as = room.buyer) => stage.call(as, "GET", query);
    expect(shown(await get(`/rooms?user_id=${room.seller.id}`))).toEqual(FORBIDDEN);
    expect((await get("/rooms")).body.role).toBe("SELLER");
    const buyerOnly = await stage.person(room.buyer.id, { role: "BUYER" });
    expect((await get("/rooms", buyerOnly)).body.role).toBe("BUYER");
    expect(shown(await get("/rooms?role=SELLER", buyerOnly))).toEqual(FORBIDDEN);
    expect(shown(await get("/rooms?role=seller"))).toEqual(fault(400, "BAD_REQUEST", "Invalid role"));
    expect(shown(await get(`/rooms/${room.id}?role=SELLER`))).toEqual(FORBIDDEN);
    const sellerOnly = await stage.person(room.buyer.id, { role: ["SELLER"] });
    expect(shown(await get(`/rooms/${room.id}`, sellerOnly))).toEqual(FORBIDDEN);
    expect(shown(await get(`/rooms/${room.id}`, stranger))).toEqual(FORBIDDEN);
    expect(shown(await get(`/rooms/${room.buyer.id}.nobody`, stranger))).toEqual(FORBIDDEN);
    expect(shown(await get(`/rooms/${room.buyer.id}.nobody`))).toEqual(NO_ROOM);
    expect(shown(await get("/rooms/undefined"))).toEqual(NO_ROOM);
  });

  test("V-3.2 V-3.3 what the query says counts beside what the body says", async () => {
    const { id, buyer, seller } = await stage.room();
    const enable = (query: string, body: object) => stage.call(buyer, "PUT", `/rooms/${id}/enable?${query}`, body);
    expect((await enable("role=BUYER", {})).status).toBe(200);
    expect((await enable(`role=BUYER&user_id=${buyer.id}`, { role: "BUYER", user_id: buyer.id })).status).toBe(200);
    expect(shown(await enable("role=SELLER", { role: "BUYER" }))).toEqual(FORBIDDEN);
    expect(shown(await enable("role=BUYER", { role: "SELLER" }))).toEqual(FORBIDDEN);
    expect(shown(await enable("role=buyer", { role: "BUYER" }))).toEqual(fault(400, "BAD_REQUEST", "Invalid role"));
    expect(shown(await enable(`user_id=${seller.id}`, { role: "BUYER", user_id: buyer.id }))).toEqual(FORBIDDEN);
  });

  test("V-8.18 of a parameter that comes twice the first counts", async () => {
    const { id, buyer } = await stage.room();
    expect((await stage.call(buyer, "GET", `/rooms/${id}?role=BUYER&role=SELLER`)).status).toBe(200);
    expect(shown(await stage.call(buyer, "GET", `/rooms/${id}?role=SELLER&role=BUYER`))).toEqual(FORBIDDEN);
  });

  test("V-3.7 to V-3.13 of several faults the first in this order is told: body and fields, role, user, room", async () => {
    const { buyer, seller } = await stage.room();
    const eve = await stage.person();
    const bad = (field: string) => fault(400, "BAD_REQUEST", `Invalid ${field}`);
    const block = async (as: typeof eve | null, id: string, body: unknown) =>
      shown(await stage.call(as, "POST", `/rooms/${id}/block?user_id=${seller.id}`, body));
    const id = `${buyer.id}.nobody`;
    expect(await block(null, id, "{")).toEqual(UNAUTHORIZED);
    expect(await block(eve, id, "{")).toEqual(bad("body"));
    expect(await block(eve, id, { block: "yes", role: "X" })).toEqual(bad("block"));
    expect(await block(eve, id, { block: true, role: "X" })).toEqual(bad("role"));
    expect(await block(eve, id, { block: true })).toEqual(ROLE_REQUIRED);
    expect(await block(eve, id, { block: true, role: "BUYER" })).toEqual(FORBIDDEN);
    expect(await block(seller, id, { block: true, role: "SELLER" })).toEqual(FORBIDDEN);
    expect(await block(seller, "nonsense", { block: true, role: "SELLER" })).toEqual(NO_ROOM);
    expect(await block(seller, `nobody.${seller.id}`, { block: true, role: "SELLER" })).toEqual(NO_ROOM);
    const create = { type: "BS", buyer: seller.id, seller: seller.id, shop_id: "", creator: eve.id };
    const made = shown(await stage.call(buyer, "POST", "/rooms", create));
    expect(made).toEqual(fault(400, "SELF_CHAT", "A room needs two different users"));
  });

  test("V-3.15 unknown paths and wrong methods", async () => {
    const ann = await stage.person();
    expect(shown(await stage.call(ann, "GET", "/nothing/here"))).toEqual(fault(404, "NOT_FOUND", "Not found"));
    const wrong = await stage.call(ann, "PUT", "/rooms");
    expect(shown(wrong)).toEqual(fault(405, "METHOD_NOT_ALLOWED", "Method not allowed"));
    expect(wrong.headers.get("allow")).toBe("GET, HEAD, POST, OPTIONS");
  });

  test("V-3.17 V-9.9 requests of a user in a minute", async () => {
    const clock = new ManualClock(Date.now());
    const at = await stages.start({ env: { CONVERSATIONS_REST_PER_MINUTE: "2" }, clock });
    const ann = await at.person();
    for (let i = 0; i < 2; i++) expect((await at.call(ann, "GET", "/rooms")).status).toBe(200);
    const limited = await at.call(ann, "GET", "/rooms?role=nonsense");
    expect(shown(limited)).toEqual(fault(429, "RATE_LIMITED", "Too many requests"));
    expect(limited.headers.get("retry-after")).toBe("30");
    clock.advance(30_000);
    expect((await at.call(ann, "GET", "/rooms")).status).toBe(200);
    expect((await at.call(await at.person(), "GET", "/rooms")).status).toBe(200);
  });

  test("V-3.16 a body that is too large", async () => {
    const at = await stages.start({ env: { CONVERSATIONS_MAX_BODY_BYTES: "1024" } });
    const answer = await at.call(await at.person(), "POST", "/rooms", { type: "x".repeat(2000) });
    expect(shown(answer)).toEqual(fault(413, "TOO_LARGE", "Payload too large"));
  });

  test("V-3.48 health", async () => {
    expect(shown(await stage.call(null, "GET", "/healthz"))).toEqual([200, { status: true }]);
  });
});
