import { afterAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { DatabaseLease } from "../../../src/protocols/conversations/lease.ts";
import { ManualClock } from "../../support/clock.ts";
import { startKafka } from "../../support/kafka.ts";
import { openFreshDatabase, postgresUrl } from "../../support/postgres.ts";
import { startProcess } from "../../support/process.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import type { Client } from "./client.ts";
import { draft, person, type Room, SECRET, type Stage, Stages } from "./stage.ts";

const broker = await startKafka();
const redis = await testRedis();
const opened: Stages[] = [];
afterAll(async () => {
  for (const stages of opened) await stages.stop();
  await broker?.close();
});

const T = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const UUID = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

/** Nodes with a database of their own, since those of one database relay for each other. */
function freshStages(): Stages {
  const stages = new Stages();
  opened.push(stages);
  return stages;
}

/** A domain event as it is in the topic. */
interface DomainEvent {
  readonly id: string;
  readonly type: string;
  readonly room_id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Settings of a node with a topic of its own. */
function topical(): { topic: string; env: Record<string, string> } {
  const topic = `test-${randomUUID()}`;
  const env = {
    KAFKA_BROKERS: broker!.address,
    CONVERSATIONS_KAFKA_TOPIC: topic,
    CONVERSATIONS_AUCTION_TOPIC: `${topic}-auctions`,
    CONVERSATIONS_KAFKA_GROUP: topic,
  };
  return { topic, env };
}

async function eventsOf(topic: string, room: Room): Promise<DomainEvent[]> {
  const messages = await broker!.read(topic);
  return messages.filter(({ key }) => key === room.id).map(({ value }) => JSON.parse(value));
}

/** Waits for so many different events of a room; returns them in the order of their first appearance. */
async function awaitEvents(topic: string, room: Room, count: number): Promise<DomainEvent[]> {
  for (;;) {
    const events = await eventsOf(topic, room);
    const first = [...new Map(events.toReversed().map((event) => [event.id, event])).values()].toReversed();
    if (first.length >= count) return first;
    await Bun.sleep(200);
  }
}

async function speaker(at: Stage, room: Room): Promise<Client> {
  return at.client({ person: room.buyer, role: "BUYER" });
}

describe.if(broker !== null)("domain events", () => {
  test("V-6.14 to V-6.19 each kind, keyed by room, in the order of the changes", async () => {
    const { topic, env } = topical();
    const stage = await freshStages().start({ env });
    const room = await stage.room();
    const [ann, bob] = [room.buyer.id, room.seller.id];
    const client = await speaker(stage, room);
    const wish = draft(room, "buyer", "hello", { client_message_id: "c1" });
    const { message } = await client.ask<{ message: Record<string, unknown> }>("new_message", wish);
    await client.ask("new_message", wish);
    const put = (action: string, body: object) =>
      stage.call(room.seller, "PUT", `/rooms/${room.id}/${action}`, { role: "SELLER", ...body });
    const block = (block: boolean) =>
      stage.call(room.seller, "POST", `/rooms/${room.id}/block`, { role: "SELLER", block });
    await put("seen", {});
    await put("seen", {});
    for (const blocked of [true, true, false]) await block(blocked);
    const deletion = await stage.call(room.seller, "DELETE", `/rooms/${room.id}`);
    await stage.call(room.seller, "DELETE", `/rooms/${room.id}`);
    const events = await awaitEvents(topic, room, 6);
    const event = (type: string, data: Record<string, unknown>): unknown => ({
      id: UUID,
      type,
      version: 1,
      room_id: room.id,
      occurred_at: T,
      data,
    });
    const blocked = { room_id: room.id, by: bob, role: "SELLER", user_id: ann };
    expect<unknown>(events).toEqual([
      event("room.created", {
        _id: room.id,
        type: "BS",
        buyer: ann,
        seller: bob,
        shop_id: "7",
        creator: ann,
        created_at: T,
      }),
      event("message.created", { ...message, is_seen: false, updated_at: message.created_at, __v: 0 }),
      event("messages.seen", {
        room_id: room.id,
        reader: bob,
        role: "SELLER",
        up_to_id: message._id,
        up_to_created_at: message.created_at,
        count: 1,
      }),
      event("user.blocked", { ...blocked, blocked: true }),
      event("user.blocked", { ...blocked, blocked: false }),
      event("room.deleted", { _id: room.id, deletion_role: "SELLER", deleted_at: deletion.body.deleted_at }),
    ]);
  });

  test("V-6.20 a broker that is away for 5 s delays the relay alone; nothing is lost, the order stays", async () => {
    const { topic, env } = topical();
    const [host = "", port] = broker!.address.split(":");
    const proxy = await startProxy({ host, port: Number(port) });
    proxy.cut();
    const stage = await freshStages().start({
      env: { ...env, KAFKA_BROKERS: `127.0.0.1:${proxy.port}`, CONVERSATIONS_MESSAGES_PER_MINUTE: "100000" },
    });
    const room = await stage.room();
    const client = await speaker(stage, room);
    let said = 0;
    const talk = async (milliseconds: number) => {
      for (const end = Date.now() + milliseconds; Date.now() < end; await Bun.sleep(60)) {
        const answer = await client.ask("new_message", draft(room, "buyer", String(said++)));
        expect(answer).toMatchObject({ status: true });
      }
    };
    // Not there at first; then it is, then it stands still, then it goes on.
    await talk(2_000);
    proxy.restore();
    await awaitEvents(topic, room, 2);
    broker!.pause();
    await talk(5_000);
    broker!.resume();
    await talk(200);
    const events = await awaitEvents(topic, room, said + 1);
    const contents = events.slice(1).map(({ data }) => data.content);
    expect(contents).toEqual(Array.from({ length: said }, (_, i) => String(i)));
    await stage.stop();
    await proxy.close();
  });

  test.if(postgresUrl !== undefined)(
    "V-6.21 of two nodes one relays; when it is killed the other takes over within 30 s",
    async () => {
      const { topic, env } = topical();
      const { databaseUrl } = await freshStages().database();
      const all = { ...env, DATABASE_URL: databaseUrl!, CONVERSATIONS_JWT_SECRET: SECRET, PROTOCOLS: "conversations" };
      const first = await startProcess({ env: all });
      const make = async (url: string) => {
        const [buyer, seller] = [await person(), await person()];
        const wish = { type: "BS", buyer: buyer.id, seller: seller.id, shop_id: "", creator: buyer.id };
        const headers = { "x-chozoi-token": buyer.token, "content-type": "application/json" };
        await fetch(`${url}/v1/conversations/rooms`, { method: "POST", headers, body: JSON.stringify(wish) });
        return { id: `${buyer.id}.${seller.id}`, buyer, seller };
      };
      await awaitEvents(topic, await make(first.url), 1);
      const second = await startProcess({ env: all });
      await awaitEvents(topic, await make(second.url), 1);
      first.child.kill("SIGKILL");
      const killed = Date.now();
      await awaitEvents(topic, await make(second.url), 1);
      expect(Date.now() - killed).toBeLessThan(30_000);
      await first.cleanUp();
      await second.cleanUp();
    },
    90_000,
  );

  test.if(postgresUrl !== undefined)(
    "V-6.20 old events are purged; where there is Kafka only those it has",
    async () => {
      const clock = new ManualClock(Date.now());
      const stages = freshStages();
      const { databaseUrl } = await stages.database();
      const retention = { CONVERSATIONS_OUTBOX_RETENTION_DAYS: "0.02" };
      const sql = postgres(databaseUrl!, { max: 1 });
      const left = async () => (await sql`select 1 from conversations.outbox`).length;
      const keeping = await stages.start({
        clock,
        env: { ...topical().env, ...retention, KAFKA_BROKERS: "127.0.0.1:1" },
      });
      await keeping.room();
      for (let i = 0; i < 10; i++) {
        clock.advance(600_000);
        await Bun.sleep(20);
      }
      expect(await left()).toBe(1);
      await stages.start({ clock, env: retention });
      while ((await left()) > 0) {
        clock.advance(600_000);
        await Bun.sleep(20);
      }
      await sql.end();
    },
  );
});

test("V-6.21 a lease is one node's until it ends or is given up", async () => {
  const { database, remove } = await openFreshDatabase(postgresUrl ? "postgres" : "embedded");
  const lease = (holder: string, life = 60_000) => new DatabaseLease(database, { name: "test", holder, life });
  expect(await lease("a").take()).toBe(true);
  expect(await lease("b").take()).toBe(false);
  expect(await lease("a", 1).take()).toBe(true);
  while (!(await lease("b").take())) await Bun.sleep(5);
  expect(await lease("a").take()).toBe(false);
  await lease("a").release();
  expect(await lease("a").take()).toBe(false);
  await lease("b").release();
  expect(await lease("a").take()).toBe(true);
  await remove();
});

describe("auction namespaces", () => {
  const RESULTS = "/v1/conversations/auction-result-events";
  const LISTS = "/v1/conversations/auction-result-list-events";

  test("V-4.24 who may listen, and to what", async () => {
    const stage = await freshStages().start();
    const { id, token } = await stage.person();
    const join = async (generation: 2 | 4, credentials: Record<string, unknown>) => {
      const client = await stage.client({ generation, namespace: RESULTS, credentials });
      return client.next();
    };
    const refusal = (generation: 2 | 4) => (generation === 2 ? "error" : "connect_error");
    for (const generation of [2, 4] as const) {
      expect(await join(generation, { token, auction_id: "7" })).toEqual(["connect", undefined]);
      expect(await join(generation, { token, user_id: id, auction_ids: "7,8" })).toEqual(["connect", undefined]);
      expect(await join(generation, { token: "x", auction_id: "7" })).toEqual([
        refusal(generation),
        "Authentication Error",
      ]);
      const tooMany = Array.from({ length: 101 }, (_, i) => i).join();
      for (const bad of [{}, { auction_id: "a.b" }, { auction_ids: "1,,2" }, { auction_ids: tooMany }]) {
        expect(await join(generation, { token, ...bad })).toEqual([refusal(generation), "Invalid auction_id"]);
      }
    }
  });

  test.if(broker !== null && redis.available)(
    "V-5.12 V-6.22 V-6.24 each result once to its listeners on all nodes",
    async () => {
      using users = Bun.serve({ port: 0, fetch: () => Response.json({ name: "Wen" }) });
      const prefix = freshPrefix(redis.url);
      const { env, topic } = topical();
      const all = {
        ...env,
        REDIS_URL: redis.url,
        KEY_PREFIX: prefix.keyPrefix,
        CONVERSATIONS_USER_LOOKUP_URL: `${users.url.origin}/{id}`,
      };
      const stages = freshStages();
      const [here, there] = [await stages.start({ env: all }), await stages.start({ env: all })];
      const listen = async (at: Stage, namespace: string, auctions: Record<string, string>, generation: 2 | 4) => {
        const { token, id } = await at.person();
        const client = await at.client({
          generation,
          namespace,
          credentials: { token, ...auctions },
          person: { id, token },
        });
        expect(await client.next()).toEqual(["connect", undefined]);
        return client;
      };
      const single = await listen(here, RESULTS, { auction_id: "7" }, 2);
      const list = await listen(there, LISTS, { auction_ids: "6,7" }, 4);
      const other = await listen(there, RESULTS, { auction_id: "8" }, 4);
      const probe = await listen(there, RESULTS, { auction_id: "probe" }, 4);
      // A group reads from where it is when it has come together, which takes some seconds.
      let write = true;
      const probing = (async () => {
        for (; write; await Bun.sleep(300)) await broker!.write(`${topic}-auctions`, ['{"id":"probe"}']);
      })();
      await probe.next();
      write = false;
      await probing;
      const value = {
        id: 7,
        type: "X",
        phase_id: 2,
        state: "ENDED",
        bidsCount: 3,
        bidders_count: 2,
        winner_id: 5,
        current_price: 10.5,
        time_start: "a",
        timeEnd: "b",
        is_sold: true,
      };
      const values = [
        "nonsense",
        '{"type":"without id"}',
        JSON.stringify(value),
        '{"id":7,"state":"LAST"}',
        '{"id":8}',
      ];
      await broker!.write(`${topic}-auctions`, values);
      const result = {
        id: 7,
        type: "X",
        phaseId: 2,
        state: "ENDED",
        bidsCount: 3,
        biddersCount: 2,
        winnerId: 5,
        currentPrice: 10.5,
        priceBidAutoHighest: null,
        timeStart: "a",
        timeEnd: "b",
        isSold: 1,
      };
      // Four partitions: their order among each other is free.
      const told = async (client: Client) => [await client.next(), await client.next()].map(([, payload]) => payload);
      const isFull = (payload: unknown) => JSON.stringify(payload).includes("ENDED");
      const [toSingle, toList] = [await told(single), await told(list)];
      expect(toSingle.find(isFull)).toEqual(result);
      expect(toList.find(isFull)).toEqual({ ...result, winnerName: "Wen" });
      expect(toSingle.find((payload) => !isFull(payload))).toMatchObject({ winnerId: 0, isSold: 0, state: "LAST" });
      expect(toList.find((payload) => !isFull(payload))).toMatchObject({ winnerName: "" });
      expect(await other.next()).toMatchObject(["new_auction_result", { id: 8 }]);
      for (const client of [single, list])
        expect(client.told.filter(([event]) => event === "new_auction_result")).toHaveLength(2);
      await here.stop();
      await there.stop();
      await prefix.remove();
    },
    // A group of two comes together in its own time.
    120_000,
  );
});
