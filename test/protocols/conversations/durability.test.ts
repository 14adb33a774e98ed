import { afterAll, describe, expect, test } from "bun:test";
import { randomInt } from "node:crypto";
import { systemClock } from "../../../src/clock.ts";
import { type FreshDatabase, freshDatabase, postgresUrl } from "../../support/postgres.ts";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { startProxy, type TcpProxy } from "../../support/proxy.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import { EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { API, draft, type Json, type Person, pageIn, person, type Room, SECRET, type Stage, Stages } from "./stage.ts";

const KILLS = 20;
const SENDERS = 8;
/** Milliseconds a store is away. */
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

/** Every message of a room, read page by page. */
async function historyOf(url: string, room: Room): Promise<string[]> {
  const contents: string[] = [];
  for (let from = ""; ; ) {
    const { body } = await call(url, room.buyer, "GET", `/messages?room_id=${room.id}&limit=200&from=${from}`);
    const page = pageIn(body);
    contents.push(...page.data.map(({ content }) => content));
    if (!page.has_more) return contents;
    from = page.data.at(-1)!.created_at;
  }
}

/** Somebody who says the next thing as soon as the server has answered the last one. */
class Talker {
  readonly room: Room;
  /** What came back to him as `new_message`. */
  readonly echoed: string[] = [];
  /** Codes of refusals. */
  readonly refused: string[] = [];
  #said = 0;
  #socket: RawSocket | null = null;
  #stopped = false;

  constructor(room: Room) {
    this.room = room;
  }

  async talk(url: string): Promise<void> {
    const { id, token } = this.room.buyer;
    this.#socket = await RawSocket.join(url, { token, user_id: id, user_role: "BUYER" });
    this.#stopped = false;
    this.#say();
    for (let frame = await this.#socket.next(); frame !== null; frame = await this.#socket.next()) {
      if (!frame.startsWith(`42${EVENTS},`)) continue;
      const [event, payload] = JSON.parse(frame.slice(frame.indexOf("[")));
      if (event === "new_message") this.echoed.push(payload.content);
      else if (event === "error_message") this.refused.push(payload.code);
      else continue;
      if (this.#stopped) break;
      // After a refusal not at once: what is away is not back in a moment.
      if (event === "error_message") await Bun.sleep(50);
      this.#say();
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  #say(): void {
    const message = draft(this.room, "buyer", `message ${this.#said++}`, { client_message_id: String(this.#said) });
    this.#socket?.send(`42${EVENTS},${JSON.stringify(["new_message", message])}`);
  }
}

describe.if(postgresUrl !== undefined)("a node that is killed", () => {
  test(`V-4.13 V-6.12 kill -9 under load, ${KILLS} times: what was echoed is in the history exactly once`, async () => {
    const database: FreshDatabase = await freshDatabase("postgres");
    const env = {
      PROTOCOLS: "conversations",
      DATABASE_URL: database.databaseUrl!,
      CONVERSATIONS_JWT_SECRET: SECRET,
      LOG_LEVEL: "info",
      ...unlimited,
    };
    const talkers = (await crowd()).map((people) => new Talker(roomOf(people)));
    for (let kill = 0; kill < KILLS; kill++) {
      const node: GatewayProcess = await startProcess({ env });
      if (kill === 0) {
        for (const { room } of talkers) {
          const wish = {
            type: "BS",
            buyer: room.buyer.id,
            seller: room.seller.id,
            shop_id: "",
            creator: room.buyer.id,
          };
          await call(node.url, room.buyer, "POST", "/rooms", wish);
        }
      }
      const talks = talkers.map((talker) => talker.talk(node.url));
      const before = talkers[0]!.echoed.length;
      while (talkers[0]!.echoed.length === before) await Bun.sleep(5);
      await Bun.sleep(randomInt(60));
      node.child.kill("SIGKILL");
      await Promise.all(talks);
      await node.cleanUp();
    }
    const node = await startProcess({ env });
    let echoes = 0;
    for (const { room, echoed } of talkers) {
      const stored = await historyOf(node.url, room);
      expect(new Set(stored).size).toBe(stored.length);
      const missing = echoed.filter((content) => !stored.includes(content));
      expect(missing).toEqual([]);
      echoes += echoed.length;
    }
    expect(echoes).toBeGreaterThan(KILLS * SENDERS);
    await node.cleanUp();
    await database.remove();
  }, 120_000);
});

/** Lets people talk while something goes away for a while; afterwards everything echoed must be stored once. */
async function talkWhile(stage: Stage, proxy: TcpProxy): Promise<Talker[]> {
  const talkers: Talker[] = [];
  for (const people of await crowd()) talkers.push(new Talker(await stage.roomOf(people.buyer, people.seller)));
  const talks = talkers.map((talker) => talker.talk(stage.url));
  const heard = (count: number) => talkers.every(({ echoed }) => echoed.length > count);
  while (!heard(5)) await Bun.sleep(10);
  proxy.cut();
  const until = systemClock.now() + AWAY;
  while (systemClock.now() < until) await Bun.sleep(50);
  proxy.restore();
  const counts = talkers.map(({ echoed }) => echoed.length);
  while (!talkers.every(({ echoed }, index) => echoed.length > counts[index]! + 5)) await Bun.sleep(10);
  for (const talker of talkers) talker.stop();
  await Promise.all(talks);
  for (const { room, echoed } of talkers) {
    const stored = await historyOf(stage.url, room);
    expect(new Set(stored).size).toBe(stored.length);
    expect(echoed.filter((content) => !stored.includes(content))).toEqual([]);
    // Nothing half done: the counter tells what is stored.
    const { body } = await call(stage.url, room.seller, "GET", "/rooms/unseen?role=SELLER");
    expect(body).toMatchObject({ unseen_messages: stored.length });
  }
  return talkers;
}

async function proxied(address: string): Promise<{ proxy: TcpProxy; url: string }> {
  const url = new URL(address);
  const proxy = await startProxy({ host: url.hostname, port: Number(url.port || 5432) });
  url.port = String(proxy.port);
  url.hostname = "127.0.0.1";
  return { proxy, url: url.href };
}

describe.if(postgresUrl !== undefined)("a store that is away for a while under load", () => {
  test("V-3.18 V-4.13 Postgres: senders are told UNAVAILABLE, nobody sees what is not stored, all goes on after", async () => {
    const { proxy, url } = await proxied((await stages.database()).databaseUrl!);
    const stage = await stages.start({ env: { DATABASE_URL: url, ...unlimited } });
    const talkers = await talkWhile(stage, proxy);
    for (const { refused } of talkers) expect(new Set(refused)).toEqual(new Set(["UNAVAILABLE"]));
    proxy.cut();
    const [somebody] = await crowd();
    expect(await call(stage.url, somebody!.buyer, "GET", "/rooms")).toEqual({
      status: 503,
      body: { status: false, code: "UNAVAILABLE", message: "Try again later" },
    });
    expect((await stage.call(null, "GET", "/healthz")).status).toBe(503);
    proxy.restore();
    await stage.stop();
    await proxy.close();
  }, 120_000);

  test.if(redis.available)(
    "V-6.13 Redis: sockets of the node go on, nothing is lost or stored twice",
    async () => {
      const prefix = freshPrefix(redis.url);
      const { proxy, url } = await proxied(redis.url);
      const stage = await stages.start({ env: { REDIS_URL: url, KEY_PREFIX: prefix.keyPrefix, ...unlimited } });
      const talkers = await talkWhile(stage, proxy);
      for (const { refused } of talkers) expect(refused).toEqual([]);
      await stage.stop();
      await proxy.close();
      await prefix.remove();
    },
    120_000,
  );
});
