import { afterAll, describe, expect, test } from "bun:test";
import { abuse } from "../../support/abuse.ts";
import { startProcess } from "../../support/process.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { connectClient, EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { dig, draft, person, SECRET, Stages } from "./stage.ts";

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

describe.if(redis.available)("several nodes", () => {
  test("V-6.10 the people of a node that dies go offline within two leases, told once", async () => {
    const prefix = freshPrefix(redis.url);
    const { databaseUrl } = await stages.database();
    const env = {
      PROTOCOLS: "conversations",
      REDIS_URL: redis.url,
      KEY_PREFIX: prefix.keyPrefix,
      CONVERSATIONS_JWT_SECRET: SECRET,
      ...(databaseUrl && { DATABASE_URL: databaseUrl }),
    };
    const here = await stages.start({ env });
    const there = await startProcess({ env });
    const room = await here.room();
    const seller = await here.client({ person: room.seller });
    const buyer = await connectClient(there.url, room.buyer, { role: "BUYER" });
    const news = { user_id: room.buyer.id, user_role: "BUYER", room_id: room.id };
    expect(await seller.until("user_status_change")).toEqual({ ...news, status: true });
    there.child.kill("SIGKILL");
    expect(await seller.until("user_status_change")).toEqual({ ...news, status: false });
    expect(dig((await here.call(room.seller, "GET", "/rooms?role=SELLER")).body, "rooms", 0, "online")).toBe(false);
    expect(await seller.rest()).toEqual([]);
    buyer.close();
    await there.cleanUp();
    await prefix.remove();
  });

  test("V-2.17 V-6.10 sockets of a user count over all nodes", async () => {
    const prefix = freshPrefix(redis.url);
    const env = { REDIS_URL: redis.url, KEY_PREFIX: prefix.keyPrefix, CONVERSATIONS_MAX_SOCKETS_PER_USER: "1" };
    const [here, there] = [await stages.start({ env }), await stages.start({ env })];
    const ann = await person();
    await here.client({ person: ann });
    const refused = await there.client({
      person: ann,
      credentials: { token: ann.token, user_id: ann.id, user_role: "BUYER" },
    });
    expect(await refused.next()).toEqual(["error", "Too Many Connections"]);
    await prefix.remove();
  });

  test("V-6.13 while Redis is away presence is that of the node, and people still come and talk", async () => {
    const prefix = freshPrefix(redis.url);
    const url = new URL(redis.url);
    const proxy = await startProxy({ host: url.hostname, port: Number(url.port) });
    const env = { REDIS_URL: `redis://127.0.0.1:${proxy.port}`, KEY_PREFIX: prefix.keyPrefix };
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
    await proxy.close();
    await prefix.remove();
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
    await node.cleanUp();
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
    const seed = Math.floor(Math.random() * 2 ** 31);
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
    await node.cleanUp();
  });
});
