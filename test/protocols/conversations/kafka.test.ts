import { afterAll, describe, expect, onTestFinished, test } from "bun:test";
import postgres from "postgres";
import { DatabaseLease } from "../../../src/protocols/conversations/lease.ts";
import { ManualClock } from "../../support/clock.ts";
import { startKafka } from "../../support/kafka.ts";
import { openFreshDatabase, postgresUrl } from "../../support/postgres.ts";
import { startProcess } from "../../support/process.ts";
import { startProxy } from "../../support/proxy.ts";
import type { Client } from "./client.ts";
import { draft, type Room, SECRET, type Stage, Stages, T } from "./stage.ts";
import { topical } from "./topic.ts";

const broker = await startKafka();
const opened: Stages[] = [];
afterAll(async () => {
  for (const stages of opened) await stages.stop();
  await broker?.close();
});

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
    const { topic, env } = topical(broker!);
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

  test.if(postgresUrl !== undefined)(
    "V-6.14 V-6.20 a broker that is away for 5 s under load delays the relay alone; nothing is lost, the order stays",
    async () => {
      const { topic, env } = topical(broker!);
      const [host = "", port] = broker!.address.split(":");
      const proxy = await startProxy({ host, port: Number(port) });
      onTestFinished(() => proxy.close());
      onTestFinished(() => broker!.resume());
      const stages = freshStages();
      const sql = postgres((await stages.database()).databaseUrl!, { max: 1 });
      onTestFinished(() => sql.end());
      const waiting = async () => (await sql`select 1 from conversations.outbox where relayed_at is null`).length;
      proxy.cut();
      const stage = await stages.start({
        env: {
          ...env,
          KAFKA_BROKERS: `127.0.0.1:${proxy.port}`,
          CONVERSATIONS_MESSAGES_PER_MINUTE: "1000000",
          CONVERSATIONS_EVENTS_PER_SECOND: "100000",
        },
      });
      onTestFinished(() => stage.stop());
      const rooms = await Promise.all([1, 2, 3, 4].map(() => stage.room()));
      const said = rooms.map(() => 0);
      const clients = await Promise.all(rooms.map((room) => speaker(stage, room)));
      // Everybody says the next thing a little after the last one is confirmed, and some things at least. As fast as it
      // goes would be more than the broker keeps.
      const talk = (milliseconds: number) =>
        Promise.all(
          rooms.map(async (room, who) => {
            const least = said[who]! + 30;
            for (const end = Date.now() + milliseconds; Date.now() < end || said[who]! < least; ) {
              const answer = await clients[who]!.ask("new_message", draft(room, "buyer", String(said[who]!++)));
              expect(answer).toMatchObject({ status: true });
              await Bun.sleep(20);
            }
          }),
        );
      const total = () => said.reduce((sum, count) => sum + count, rooms.length);
      // Not there at first; then it is, then it stands still, then it is gone, then it goes on.
      await talk(1_000);
      expect(await waiting()).toBe(total());
      proxy.restore();
      await awaitEvents(topic, rooms[0]!, 2);
      broker!.pause();
      const before = total();
      // Nobody is held up by that.
      await talk(5_000);
      expect(await waiting()).toBeGreaterThanOrEqual(total() - before);
      broker!.resume();
      await talk(200);
      proxy.cut();
      await talk(1_000);
      proxy.restore();
      while ((await waiting()) > 0) await Bun.sleep(100);
      for (const [who, room] of rooms.entries()) {
        const events = await awaitEvents(topic, room, said[who]! + 1);
        const contents = events.slice(1).map(({ data }) => data.content);
        expect(contents).toEqual(Array.from({ length: said[who]! }, (_, index) => String(index)));
      }
    },
    300_000,
  );

  test.if(postgresUrl !== undefined)(
    "V-6.21 of two nodes one relays; when it is killed the other takes over within 30 s",
    async () => {
      const { topic, env } = topical(broker!);
      const stages = freshStages();
      const { databaseUrl } = await stages.database();
      const sql = postgres(databaseUrl!, { max: 1 });
      onTestFinished(() => sql.end());
      const all = { ...env, DATABASE_URL: databaseUrl!, CONVERSATIONS_JWT_SECRET: SECRET, PROTOCOLS: "conversations" };
      const first = await startProcess({ env: all });
      onTestFinished(() => first.cleanUp());
      const clock = new ManualClock(Date.now());
      const second = await stages.start({ env, clock });
      await awaitEvents(topic, await second.room(), 1);
      // kafkajs makes the runtime warn of negative delays, where it is left to itself.
      expect(first.output()).not.toContain("Warning");
      first.child.kill("SIGKILL");
      await first.child.exited;
      const [lease] =
        await sql`select extract(epoch from until - now())::float8 * 1000 as left from conversations.leases`;
      expect(lease!.left).toBeLessThanOrEqual(20_000);
      const room = await second.room();
      // Its lease ends, and the other one has ten seconds for the rest. The last words of the dead may come late.
      while ((await eventsOf(topic, room)).length === 0) {
        await sql`update conversations.leases set until = now() - interval '1 ms'`;
        clock.advance(10_000);
      }
    },
    120_000,
  );

  test.if(postgresUrl !== undefined)(
    "V-6.20 old events are purged; where there is Kafka only those it has",
    async () => {
      const clock = new ManualClock(Date.now());
      const stages = freshStages();
      const { databaseUrl } = await stages.database();
      const retention = { CONVERSATIONS_OUTBOX_RETENTION_DAYS: "0.02" };
      const sql = postgres(databaseUrl!, { max: 1 });
      onTestFinished(() => sql.end());
      const left = async () => (await sql`select 1 from conversations.outbox`).length;
      const keeping = await stages.start({
        clock,
        env: { ...topical(broker!).env, ...retention, KAFKA_BROKERS: "127.0.0.1:1" },
      });
      await keeping.room();
      for (let i = 0; i < 10; i++) {
        clock.advance(600_000);
        // Lets tasks run.
        expect(await left()).toBe(1);
      }
      await stages.start({ clock, env: retention });
      while ((await left()) > 0) clock.advance(600_000);
    },
  );
});

test("V-6.21 a lease is one node's until it ends or is given up", async () => {
  const { database, remove } = await openFreshDatabase(postgresUrl ? "postgres" : "embedded");
  onTestFinished(remove);
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
});
