import { afterAll, describe, expect, onTestFinished, test } from "bun:test";
import { Redis } from "ioredis";
import { abuse } from "../../support/abuse.ts";
import { ManualClock } from "../../support/clock.ts";
import { startProcess } from "../../support/process.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { connectClient, EVENTS, type Told } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { dig, draft, type Person, person, type Room, SECRET, Stages } from "./stage.ts";

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

/** A key prefix of a test's own. */
function prefix(): string {
  const { keyPrefix, remove } = freshPrefix(redis.url);
  onTestFinished(remove);
  return keyPrefix;
}

/** Waits until these people are awaited: the node they were on has been given up. */
async function awaited(keyPrefix: string, ...people: Person[]): Promise<void> {
  const client = new Redis(redis.url);
  const due = `${keyPrefix}{timers}:due:conversations:gone`;
  const ids = people.map(({ id }) => id);
  while ((await client.zmscore(due, ...ids)).includes(null)) await Bun.sleep(50);
  client.disconnect();
}

describe.if(redis.available)("several nodes", () => {
  test("V-6.10 V-9.10 the people of a node that dies count as online until its lease is over: who is back by then was never away, the others are told of once", async () => {
    const keyPrefix = prefix();
    const { databaseUrl } = await stages.database();
    const env = { REDIS_URL: redis.url, KEY_PREFIX: keyPrefix, CONVERSATIONS_JWT_SECRET: SECRET };
    const clock = new ManualClock(Date.now());
    const here = await stages.start({ env, clock });
    const there = await startProcess({
      env: { ...env, PROTOCOLS: "conversations", ...(databaseUrl && { DATABASE_URL: databaseUrl }) },
    });
    onTestFinished(() => there.cleanUp());
    const [bob, ann, eve] = [await person(), await person(), await person()];
    const [annsRoom, evesRoom] = [await here.roomOf(ann, bob), await here.roomOf(eve, bob)];
    const seller = await here.client({ person: bob });
    const news = (about: Person, room: Room, status: boolean): Told => [
      "user_status_change",
      { user_id: about.id, user_role: "BUYER", room_id: room.id, status },
    ];
    expect(await seller.next()).toMatchObject(["active_user_list", { user_id: bob.id }]);
    const clients = [await connectClient(there.url, ann, { role: "BUYER" })];
    expect(await seller.next()).toEqual(news(ann, annsRoom, true));
    clients.push(await connectClient(there.url, eve, { role: "BUYER" }));
    expect(await seller.next()).toEqual(news(eve, evesRoom, true));
    there.child.kill("SIGKILL");
    await awaited(keyPrefix, ann, eve);
    await here.client({ person: eve, role: "BUYER" });
    // The rest of the lease, after the five seconds until a node is given up.
    clock.advance(9_999);
    expect(await seller.rest()).toEqual([]);
    const told: Told[] = [];
    while (told.length === 0) {
      clock.advance(250);
      await seller.ask("get_active_users");
      told.push(...(await seller.rest()).filter(([event]) => event !== "active_user_list"));
    }
    expect(told).toEqual([news(ann, annsRoom, false)]);
    expect(await seller.rest()).toEqual([]);
    for (const client of clients) client.close();
  });

  test("V-2.17 V-6.10 sockets of a user count over all nodes", async () => {
    const env = { REDIS_URL: redis.url, KEY_PREFIX: prefix(), CONVERSATIONS_MAX_SOCKETS_PER_USER: "1" };
    const [here, there] = [await stages.start({ env }), await stages.start({ env })];
    const ann = await person();
    await here.client({ person: ann });
    const refused = await there.client({
      person: ann,
      credentials: { token: ann.token, user_id: ann.id, user_role: "BUYER" },
    });
    expect(await refused.next()).toEqual(["error", "Too Many Connections"]);
  });

  test("V-6.13 while Redis is away presence is that of the node, and people still come and talk", async () => {
    const url = new URL(redis.url);
    const proxy = await startProxy({ host: url.hostname, port: Number(url.port) });
    onTestFinished(() => proxy.close());
    const env = { REDIS_URL: `redis://127.0.0.1:${proxy.port}`, KEY_PREFIX: prefix() };
    const stage = await stages.start({ env });
    const room = await stage.room();
    proxy.cut();
    const seller = await stage.client({ person: room.seller });
    const buyer = await stage.client({ person: room.buyer, role: "BUYER" });
    expect(await seller.until("user_status_change")).toMatchObject({ status: true });
    expect(await buyer.ask("new_message", draft(room, "buyer", "hi"))).toMatchObject({ status: true });
    expect(await seller.until("new_message")).toMatchObject({ content: "hi" });
    const { body } = await stage.call(room.seller, "GET", "/rooms");
    expect(dig(body, "rooms", 0, "online")).toBe(true);
    proxy.restore();
    await stage.stop();
  });
});

describe("a node's life", () => {
  test("V-7.1 V-7.3 a drain sends everybody away to come back", async () => {
    const stage = await stages.start();
    const { id, token } = await stage.person();
    const raw = await RawSocket.join(stage.url, { token, user_id: id, user_role: "SELLER" });
    const client = await stage.client();
    await stage.gateway.gateway.stop();
    expect(await raw.closed).toBe(1012);
    expect(raw.frames).not.toContain(`41${EVENTS},`);
    expect(await client.until<string>("disconnect")).toBe("transport close");
  });

  test("V-2.8 the log tells the reasons of refusals apart, which look the same on the wire", async () => {
    const { databaseUrl } = await stages.database();
    const node = await startProcess({
      env: {
        PROTOCOLS: "conversations",
        CONVERSATIONS_JWT_SECRET: SECRET,
        ...(databaseUrl && { DATABASE_URL: databaseUrl }),
      },
    });
    onTestFinished(() => node.cleanUp());
    const [ann, buyer, nobody] = [await person(), await person("1", { role: "BUYER" }), await person("not.an.id")];
    const expired = await person(ann.id, { exp: Math.floor(Date.now() / 1000) - 60 });
    const good = { token: ann.token, user_id: ann.id, user_role: "SELLER" };
    const bad = [
      { ...good, token: "" },
      { ...good, token: "nonsense" },
      { ...good, token: expired.token },
      { ...good, token: nobody.token },
      { ...good, user_id: "" },
      { ...good, user_id: "somebody" },
      { ...good, user_role: "ADMIN" },
      { ...good, token: buyer.token, user_id: buyer.id },
    ];
    for (const credentials of bad) {
      const raw = await RawSocket.open(node.url, { query: `&${new URLSearchParams(credentials)}` });
      await raw.next();
      const since = node.output().length;
      raw.send(`40${EVENTS},`);
      expect(await raw.next()).toBe(`44${EVENTS},{"message":"Authentication Error"}`);
      await node.printed('"socket refused"', since);
      raw.close();
    }
    const lines = node.output().split("\n");
    const refusals = lines.filter((line) => line.includes('"socket refused"')).map((line) => JSON.parse(line));
    const reasons = refusals.map((line) => dig(line, "cause", "message"));
    expect(reasons).toEqual(bad.map(() => expect.any(String)));
    expect(new Set(reasons).size).toBe(bad.length);
  });

  test("V-2.18 V-10.5 V-10.6 neither logs nor metrics hold tokens, contents or people", async () => {
    const { databaseUrl } = await stages.database();
    const node = await startProcess({
      env: {
        PROTOCOLS: "conversations",
        LOG_LEVEL: "trace",
        CONVERSATIONS_JWT_SECRET: SECRET,
        ...(databaseUrl && { DATABASE_URL: databaseUrl }),
      },
    });
    onTestFinished(() => node.cleanUp());
    const [buyer, seller] = [await person("ann-of-the-test"), await person("bob-of-the-test")];
    const wish = { type: "BS", buyer: buyer.id, seller: seller.id, shop_id: "", creator: buyer.id };
    await fetch(`${node.url}/v1/conversations/rooms`, {
      method: "POST",
      headers: { "x-chozoi-token": buyer.token },
      body: JSON.stringify(wish),
    });
    const client = await connectClient(node.url, buyer, { role: "BUYER" });
    const room = { id: `${buyer.id}.${seller.id}`, buyer, seller };
    await client.ask("new_message", draft(room, "buyer", "words nobody else may read"));
    await client.ask("new_message", draft(room, "seller", "words nobody else may read"));
    const bad = await connectClient(node.url, buyer, {
      credentials: { token: `${seller.token}x`, user_id: "1", user_role: "BUYER" },
    });
    await bad.next();
    const metrics = await (await fetch(`${node.internalUrl}/metrics`)).text();
    client.close();
    bad.close();
    await node.printed('"disconnected"');
    const output = node.output();
    for (const secret of [buyer.token, seller.token, "words nobody"]) expect(output + metrics).not.toContain(secret);
    expect(metrics).not.toContain("of-the-test");
    for (const line of ['"connected"', '"socket refused"', '"event refused"']) expect(output).toContain(line);
    expect(output).toContain("ann-of-the-test");
    for (const name of ["messages_stored", "admitted_sockets", "refused_sockets", "events_handled"]) {
      expect(metrics).toMatch(new RegExp(`patchbay_${name}_total{.*protocol="conversations"`));
    }
  });

  test("V-8.20 any number of broken requests and frames, from strangers and within the chat, harm nobody", async () => {
    const { databaseUrl } = await stages.database();
    const node = await startProcess({
      env: {
        PROTOCOLS: "conversations",
        ACCEPT_RATE: "0",
        MAX_CONNECTIONS_PER_ADDRESS: "0",
        CONVERSATIONS_JWT_SECRET: SECRET,
        CONVERSATIONS_MAX_SOCKETS_PER_USER: "100000",
        ...(databaseUrl && { DATABASE_URL: databaseUrl }),
      },
    });
    onTestFinished(() => node.cleanUp());
    const ann = await person();
    const credentials = new URLSearchParams({ token: ann.token, user_id: ann.id, user_role: "BUYER" });
    const message = JSON.stringify(
      draft({ id: `${ann.id}.9`, buyer: ann, seller: { id: "9", token: "" } }, "buyer", "x"),
    );
    const paths = [
      "/rooms",
      "/rooms/unseen",
      "/rooms/1.2",
      "/rooms/1.2/pin",
      "/messages?room_id=1.2",
      "/uploads",
      "/healthz",
    ];
    const sockets = [3, 4].map((revision) => `/sockets/?EIO=${revision}&transport=websocket&${credentials}`);
    // The same attacks in every run; others on demand.
    const seed = Number(process.env.ABUSE_SEED ?? 1);
    const summary = await abuse(
      {
        url: node.url,
        paths: [...paths, ...sockets].map((path) => `/v1/conversations${path}`),
        samples: [
          `40${EVENTS},`,
          `42${EVENTS},["new_message",${message}]`,
          `42${EVENTS},1["typing",${message}]`,
          message,
        ],
      },
      { seed, count: 3_000 },
    );
    expect({ seed, faults: summary.faults }).toEqual({ seed, faults: [] });
    const good = await connectClient(node.url, ann, { role: "BUYER" });
    expect(await good.ask("get_active_users")).toEqual({ status: true });
    good.close();
    expect(node.child.exitCode).toBeNull();
    expect(node.output()).not.toMatch(/"level":"(error|fatal)"/);
  });
});
