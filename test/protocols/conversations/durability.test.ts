import { afterAll, describe, expect, onTestFinished, test } from "bun:test";
import { randomInt } from "node:crypto";
import postgres from "postgres";
import { ManualClock } from "../../support/clock.ts";
import { type FreshDatabase, freshDatabase, postgresUrl } from "../../support/postgres.ts";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { startProxy, type TcpProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { API, type Json, type Person, pageIn, person, type Room, SECRET, type Stage, Stages } from "./stage.ts";
import { listen, Talker, UNDER_WAY } from "./talker.ts";

const KILLS = 20;
const SENDERS = 8;
/** Milliseconds a store is away at least. */
const AWAY = 5_000;

const redis = await testRedis();
const stages = new Stages();
afterAll(() => stages.stop());

const unlimited = {
  CONVERSATIONS_MESSAGES_PER_MINUTE: "1000000",
  CONVERSATIONS_REST_PER_MINUTE: "1000000",
  CONVERSATIONS_EVENTS_PER_SECOND: "100000",
  CONVERSATIONS_EVENTS_BURST: "100000",
  CONVERSATIONS_BAD_EVENTS_PER_MINUTE: "1000000",
};

/** People of one room each; the buyers talk. */
async function crowd(): Promise<{ buyer: Person; seller: Person }[]> {
  return Promise.all(Array.from({ length: SENDERS }, async () => ({ buyer: await person(), seller: await person() })));
}

const roomOf = ({ buyer, seller }: { buyer: Person; seller: Person }): Room => ({
  id: `${buyer.id}.${seller.id}`,
  buyer,
  seller,
});

async function call(url: string, as: Person, method: string, path: string, body?: object) {
  const response = await fetch(`${url}${API}${path}`, {
    method,
    headers: { "x-chozoi-token": as.token, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Json };
}

/** As {@link call}, again while the answer is to try again later: a store that is back may be felt to be away yet. */
async function read(url: string, as: Person, path: string): Promise<Json> {
  for (;;) {
    const { status, body } = await call(url, as, "GET", path);
    if (status !== 503) return body;
    await Bun.sleep(50);
  }
}

/** Every message of a room, read page by page. */
async function historyOf(url: string, room: Room): Promise<string[]> {
  const contents: string[] = [];
  for (let from = ""; ; ) {
    const page = pageIn(await read(url, room.buyer, `/messages?room_id=${room.id}&limit=200&from=${from}`));
    contents.push(...page.data.map(({ content }) => content));
    if (!page.has_more) return contents;
    from = page.data.at(-1)!.created_at;
  }
}

/** Everything said is in the history exactly once, and whatever else tells of it agrees. */
async function checkHistory(url: string, database: string, talkers: readonly Talker[]): Promise<void> {
  const sql = postgres(database, { max: 1 });
  onTestFinished(() => sql.end());
  for (const { room, said, echoed } of talkers) {
    const stored = await historyOf(url, room);
    expect(stored.toSorted()).toEqual(said.toSorted());
    expect([...echoed].toSorted()).toEqual(said.toSorted());
    expect((await read(url, room.seller, `/rooms/${room.id}`)).room).toMatchObject({
      seller_unseen_messages: said.length,
      seller_last_message: { content: stored[0] },
    });
    const told = await sql<{ id: string }[]>`
      select payload->>'_id' as id from conversations.outbox where room_id = ${room.id} and type = 'message.created'`;
    expect(new Set(told.map(({ id }) => id)).size).toBe(said.length);
    expect(told).toHaveLength(said.length);
  }
}

describe.if(postgresUrl !== undefined)("a node that is killed", () => {
  test(`V-4.13 V-4.17 V-6.12 V-10.2 kill -9 under load, ${KILLS} times: what was echoed is in the history exactly once, and so is what had to be repeated`, async () => {
    const database: FreshDatabase = await freshDatabase("postgres");
    const nodes: GatewayProcess[] = [];
    onTestFinished(async () => {
      for (const each of nodes) await each.cleanUp();
      await database.remove();
    });
    const env = {
      PROTOCOLS: "conversations",
      DATABASE_URL: database.databaseUrl!,
      CONVERSATIONS_JWT_SECRET: SECRET,
      LOG_LEVEL: "info",
      ...unlimited,
    };
    const talkers = (await crowd()).map((people) => new Talker(roomOf(people)));
    const heard: string[][] = talkers.map(() => []);
    const start = async () => {
      const started = await startProcess({ env });
      nodes.push(started);
      return started;
    };
    let node = await start();
    for (const { room } of talkers) {
      const people = { buyer: room.buyer.id, seller: room.seller.id, creator: room.buyer.id };
      await call(node.url, room.buyer, "POST", "/rooms", { type: "BS", shop_id: "", ...people });
    }
    for (let kill = 0; kill < KILLS; kill++) {
      const listeners = await Promise.all(talkers.map(({ room }) => listen(node.url, room)));
      const before = talkers.map(({ echoed }) => echoed.size);
      const talks = talkers.map((talker) => talker.talk(node.url));
      while (!talkers.every(({ echoed }, index) => echoed.size > before[index]!)) await Bun.sleep(1);
      await Bun.sleep(randomInt(100));
      node.child.kill("SIGKILL");
      await Promise.all([...talks, ...listeners.map(({ over }) => over)]);
      for (const [index, listener] of listeners.entries()) heard[index]!.push(...listener.heard);
      await node.cleanUp();
      // Everything that anybody was told is there before anything is repeated.
      node = await start();
      for (const [index, { room, echoed }] of talkers.entries()) {
        const stored = await historyOf(node.url, room);
        expect(new Set(stored).size).toBe(stored.length);
        expect([...echoed, ...heard[index]!].filter((content) => !stored.includes(content))).toEqual([]);
      }
    }
    for (const talker of talkers) talker.stop();
    await Promise.all(talkers.map((talker) => talker.talk(node.url)));
    await checkHistory(node.url, database.databaseUrl!, talkers);
  }, 600_000);
});

/**
 * Lets people talk while something goes away for a while, and comes back; afterwards everything must be stored once. It
 * stays away until everybody has met with some of what is to be expected meanwhile.
 */
async function talkWhile(
  stage: Stage,
  proxy: TcpProxy,
  away: "cut" | "stall",
  expected?: (talker: Talker) => number,
): Promise<Talker[]> {
  const talkers: Talker[] = [];
  for (const people of await crowd()) talkers.push(new Talker(await stage.roomOf(people.buyer, people.seller)));
  const talks = talkers.map((talker) => talker.talk(stage.url));
  const more = async (than: number, count: (talker: Talker) => number) => {
    const before = talkers.map(count);
    while (!talkers.every((talker, index) => count(talker) > before[index]! + than)) await Bun.sleep(10);
  };
  await more(20, echoes);
  proxy[away]();
  await Promise.all([Bun.sleep(AWAY), expected && more(UNDER_WAY, expected)]);
  proxy.restore();
  await more(20, echoes);
  for (const talker of talkers) talker.stop();
  await Promise.all(talks);
  await checkHistory(stage.url, (await stages.database()).databaseUrl!, talkers);
  return talkers;
}

const echoes = ({ echoed }: Talker) => echoed.size;
const refusals = ({ refused }: Talker) => refused.length;

async function proxied(address: string): Promise<{ proxy: TcpProxy; url: string }> {
  const url = new URL(address);
  const proxy = await startProxy({ host: url.hostname, port: Number(url.port || 5432) });
  onTestFinished(() => proxy.close());
  url.port = String(proxy.port);
  url.hostname = "127.0.0.1";
  return { proxy, url: url.href };
}

describe.if(postgresUrl !== undefined)("a store that is away for a while under load", () => {
  test("V-5.8 V-5.9 who comes and goes while Postgres is away is told of when it is back", async () => {
    const { proxy, url } = await proxied((await stages.database()).databaseUrl!);
    const clock = new ManualClock(Date.now());
    const stage = await stages.start({ env: { DATABASE_URL: url }, clock });
    const { room, buyer, seller } = await stage.meeting();
    const news = { user_id: room.seller.id, user_role: "SELLER", room_id: room.id };
    const passing = setInterval(() => clock.advance(100), 10);
    onTestFinished(() => clearInterval(passing));
    proxy.cut();
    seller.drop();
    // It is tried, in vain.
    for (const before = proxy.refused; proxy.refused === before; ) await Bun.sleep(10);
    proxy.restore();
    expect(await buyer.next()).toEqual(["user_status_change", { ...news, status: false }]);
    proxy.cut();
    const back = await stage.client({ person: room.seller, generation: 2 });
    expect(await back.ask("get_active_users")).toMatchObject({ code: "UNAVAILABLE" });
    proxy.restore();
    expect(await buyer.next()).toEqual(["user_status_change", { ...news, status: true }]);
    expect((await back.until<{ rooms: unknown }>("active_user_list")).rooms).toEqual([
      { room_id: room.id, status: true },
    ]);
    expect(await buyer.rest()).toEqual([]);
    await stage.stop();
  });

  for (const away of ["cut", "stall"] as const) {
    test(`V-3.18 V-4.13 Postgres (${away}): senders are told UNAVAILABLE, nobody sees what is not stored, all goes on after`, async () => {
      const { proxy, url } = await proxied((await stages.database()).databaseUrl!);
      const stage = await stages.start({ env: { DATABASE_URL: url, ...unlimited } });
      // Statements that get no answer are given up after longer than that.
      const talkers = await talkWhile(stage, proxy, away, away === "cut" ? refusals : undefined);
      for (const { refused } of talkers) expect(refused.filter((code) => code !== "UNAVAILABLE")).toEqual([]);
      proxy.cut();
      const [somebody] = await crowd();
      expect(await call(stage.url, somebody!.buyer, "GET", "/rooms")).toEqual({
        status: 503,
        body: { status: false, code: "UNAVAILABLE", message: "Try again later" },
      });
      expect((await stage.call(null, "GET", "/healthz")).status).toBe(503);
      proxy.restore();
      await stage.stop();
    }, 300_000);

    test.if(redis.available)(
      `V-6.13 Redis (${away}): sockets of the node go on, nothing is lost or stored twice`,
      async () => {
        const prefix = freshPrefix(redis.url);
        const { proxy, url } = await proxied(redis.url);
        const stage = await stages.start({ env: { REDIS_URL: url, KEY_PREFIX: prefix.keyPrefix, ...unlimited } });
        onTestFinished(prefix.remove);
        const talkers = await talkWhile(stage, proxy, away, echoes);
        for (const { refused } of talkers) expect(refused).toEqual([]);
        await stage.stop();
      },
      300_000,
    );
  }
});
