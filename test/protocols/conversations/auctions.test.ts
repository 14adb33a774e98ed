import { afterAll, describe, expect, test } from "bun:test";
import { Kafka, logLevel } from "kafkajs";
import { ManualClock } from "../../support/clock.ts";
import { startKafka } from "../../support/kafka.ts";
import { freshPrefix, testRedis } from "../../support/redis.ts";
import type { Client } from "./client.ts";
import { type Stage, Stages } from "./stage.ts";
import { topical } from "./topic.ts";

const broker = await startKafka();
const redis = await testRedis();
const stages = new Stages();
afterAll(async () => {
  await stages.stop();
  await broker?.close();
});

/** How many results a node has taken from the topic. */
async function resultsTakenBy(node: Stage): Promise<number> {
  const metrics = await (await fetch(`${node.gateway.internalUrl}/metrics`)).text();
  return Number(/^patchbay_auction_results_total\{.*\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

/** Waits until a group has a place in every partition of a topic. */
async function allPlacesNoted(address: string, groupId: string, topic: string): Promise<void> {
  const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  for (;;) {
    const [places] = await admin.fetchOffsets({ groupId, topics: [topic] });
    if (places?.partitions.every(({ offset }) => offset !== "-1")) break;
    await Bun.sleep(100);
  }
  await admin.disconnect();
}

describe("auction namespaces", () => {
  const RESULTS = "/v1/conversations/auction-result-events";
  const LISTS = "/v1/conversations/auction-result-list-events";

  test("V-4.24 V-4.2 who may listen, and to what", async () => {
    const stage = await stages.start();
    const { id, token } = await stage.person();
    const join = async (generation: 2 | 4, credentials: Record<string, unknown>) => {
      const client = await stage.client({ generation, namespace: RESULTS, credentials });
      return client.next();
    };
    const refusal = (generation: 2 | 4) => (generation === 2 ? "error" : "connect_error");
    for (const generation of [2, 4] as const) {
      expect(await join(generation, { token, auction_id: "7" })).toEqual(["connect", undefined]);
      expect(await join(generation, { token, auction_id: 7 })).toEqual(["connect", undefined]);
      expect(await join(generation, { token, user_id: id, auction_ids: "7,8" })).toEqual(["connect", undefined]);
      expect(await join(generation, { token, user_role: "SELLER", auction_id: "7" })).toEqual(["connect", undefined]);
      expect(await join(generation, { token, user_id: "somebody", auction_id: "7" })).toEqual([
        refusal(generation),
        "Authentication Error",
      ]);
      expect(await join(generation, { token: "x", auction_id: "7" })).toEqual([
        refusal(generation),
        "Authentication Error",
      ]);
      const tooMany = Array.from({ length: 101 }, (_, i) => i).join();
      for (const bad of [
        {},
        { auction_id: "a.b" },
        { auction_id: 7.5 },
        { auction_ids: "1,,2" },
        { auction_ids: tooMany },
      ]) {
        expect(await join(generation, { token, ...bad })).toEqual([refusal(generation), "Invalid auction_id"]);
      }
    }
  });

  test("V-2.17 V-7.11 sockets that listen are limited as those of the chat are, apart from them; who sends too much is dropped", async () => {
    const env = { CONVERSATIONS_MAX_SOCKETS_PER_USER: "1", CONVERSATIONS_EVENTS_BURST: "5" };
    // Time stands still, so that no event is let through by it.
    const stage = await stages.start({ env, clock: new ManualClock(Date.now()) });
    const person = await stage.person();
    const join = async (namespace: string) => {
      const options = { person, namespace, credentials: { token: person.token, auction_id: "7" } };
      const client = await stage.client(options);
      return { client, answer: await client.next() };
    };
    await stage.client({ person });
    const { client, answer } = await join(RESULTS);
    expect(answer).toEqual(["connect", undefined]);
    expect((await join(LISTS)).answer).toEqual(["error", "Too Many Connections"]);
    for (let i = 0; i < 20; i++) client.emit("anything");
    expect(await client.until<string>("disconnect")).toBe("transport close");
    while ((await join(LISTS)).answer[0] === "error");
  });

  test.if(broker !== null && redis.available)(
    "V-5.12 V-6.22 V-6.24 each result once to its listeners on all nodes",
    async () => {
      using users = Bun.serve({ port: 0, fetch: () => Response.json({ name: "Wen" }) });
      const prefix = freshPrefix(redis.url);
      const { env, topic } = topical(broker!);
      const clock = new ManualClock(Date.now());
      const all = {
        ...env,
        REDIS_URL: redis.url,
        KEY_PREFIX: prefix.keyPrefix,
        CONVERSATIONS_USER_LOOKUP_URL: `${users.url.origin}/{id}`,
      };
      const here = await stages.start({ env: all, clock });
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
      // A group reads from where the topic ends when it has come together, and again when another node has joined it.
      const probes: string[] = [];
      const probe = async () => {
        clock.advance(1_000);
        probes.push(`probe ${probes.length}`);
        await broker!.write(`${topic}-auctions`, [JSON.stringify({ id: "probe", state: probes.at(-1) })]);
      };
      const watcher = await listen(here, RESULTS, { auction_id: "probe" }, 4);
      while (watcher.told.length === 1) await probe();
      await allPlacesNoted(broker!.address, topic, `${topic}-auctions`);
      const before = probes.length;
      const there = await stages.start({ env: all, clock });
      while ((await resultsTakenBy(there)) === 0) await probe();
      // From here on time stands still: however slow this machine is, names are looked up in time.
      const single = await listen(here, RESULTS, { auction_id: "7" }, 2);
      const list = await listen(there, LISTS, { auction_ids: "6,7" }, 4);
      const other = await listen(there, RESULTS, { auction_id: "8" }, 4);
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
      // Nothing got lost while the work was shared anew.
      const missing = new Set(probes.slice(before));
      while (missing.size > 0) missing.delete((await watcher.until<{ state: string }>("new_auction_result")).state);
      await here.stop();
      await there.stop();
      await prefix.remove();
    },
    // A group of two comes together in its own time.
    300_000,
  );
});
