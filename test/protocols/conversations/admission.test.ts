import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ManualClock } from "../../support/clock.ts";
import { connectClient, EVENTS } from "./client.ts";
import { credentialsOf, join3, join4, query, REFUSED_3, REFUSED_4 } from "./joining.ts";
import { RawSocket } from "./raw.ts";
import { type Person, person, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
let ann: Person;
beforeAll(async () => {
  stage = await stages.start();
  ann = await stage.person();
});
afterAll(() => stages.stop());

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
    const clock = new ManualClock();
    const still = await stages.start({ clock });
    const ended = (ago: number) => person(ann.id, { exp: clock.now() / 1000 - ago });
    expect((await join4(still, credentialsOf(await ended(29)))).answer).toStartWith("40");
    expect((await join4(still, credentialsOf(await ended(30)))).answer).toBe(REFUSED_4);
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
    const three = await RawSocket.open(stage.url, {
      revision: 3,
      query: query({ ...credentialsOf(ann), token: "nonsense" }),
    });
    await three.next();
    await three.next();
    three.send(`40${EVENTS}?token=${ann.token},`);
    expect(await three.next()).toBe(`40${EVENTS},`);
    three.close();
  });

  test("V-2.9 a refused connection stays until its time is over, V-2.10 V-7.8 a silent one is closed with 4408", async () => {
    const clock = new ManualClock();
    const env = { CONVERSATIONS_REFUSED_LINGER_S: "20", CONVERSATIONS_CONNECT_TIMEOUT_S: "15" };
    const at = await stages.start({ env, clock });
    const { raw, answer } = await join3(at, {});
    expect(answer).toBe(REFUSED_3);
    const silent = await RawSocket.open(at.url, { revision: 3 });
    const opening = [await silent.next(), await silent.next()];
    expect(opening).toEqual([expect.stringMatching(/^0/), "40"]);
    const answers = async (socket: RawSocket) => {
      socket.send("2");
      expect(await socket.next()).toBe("3");
    };
    clock.advance(14_999);
    await answers(silent);
    clock.advance(1);
    expect(await silent.closed).toBe(4408);
    clock.advance(4_999);
    await answers(raw);
    clock.advance(1);
    expect(await raw.closed).toBe(4408);
  });

  test("V-2.1 V-2.13 V-2.14 headers of a trusted proxy", async () => {
    const mode = { CONVERSATIONS_AUTH: "trusted-gateway" };
    const trusting = await stages.start({ env: { ...mode, CONVERSATIONS_TRUSTED_PROXIES: "127.0.0.0/8" } });
    const headers = { "x-chozoi-user-id": "12" };
    expect((await join4(trusting, { user_role: "SELLER" }, headers)).answer).toStartWith("40");
    expect((await join4(trusting, { user_role: "SELLER", user_id: "12" }, headers)).answer).toStartWith("40");
    expect((await join4(trusting, { user_role: "SELLER", user_id: "13" }, headers)).answer).toBe(REFUSED_4);
    expect((await join4(trusting, { user_role: "SELLER", user_id: "13" })).answer).toBe(REFUSED_4);
    const buyer = { ...headers, "x-chozoi-user-role": "BUYER", "x-chozoi-shop-id": "9" };
    expect((await join4(trusting, { user_role: "SELLER" }, buyer)).answer).toBe(REFUSED_4);
    expect((await join3(trusting, { user_role: "SELLER" }, { headers })).answer).toBe(`40${EVENTS},`);
    expect((await join3(trusting, { user_role: "SELLER" }, { headers: buyer })).answer).toBe(REFUSED_3);
    expect((await join3(trusting, { user_role: "SELLER", user_id: "12" })).answer).toBe(REFUSED_3);
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

  test("V-2.16 V-4.24 a listener to auctions is put out just so", async () => {
    const clock = new ManualClock(Math.ceil(Date.now() / 1000) * 1000);
    const at = await stages.start({ clock });
    const { token } = await person(undefined, { exp: clock.now() / 1000 + 5 }, clock);
    const raw = await RawSocket.open(at.url, { revision: 3, query: query({ token, auction_id: "7" }) });
    raw.send("40/v1/conversations/auction-result-events,");
    expect([await raw.next(), await raw.next()]).toEqual([expect.stringMatching(/^0/), "40"]);
    expect(await raw.next()).toBe("40/v1/conversations/auction-result-events,");
    clock.advance(34_000);
    raw.send("2");
    expect(await raw.next()).toBe("3");
    clock.advance(1_000);
    expect(await raw.next()).toBe("41/v1/conversations/auction-result-events,");
    expect(await raw.closed).toBe(4005);
  });

  test("V-4.20 V-5.10 verify_user brings a later token, V-7.5 and puts out who shows a wrong one", async () => {
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
