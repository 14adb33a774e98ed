import { join } from "node:path";
import { signToken } from "../../../src/accounts/sign.ts";
import { circumstanceColumns, number, verdict } from "../columns.ts";
import { contest, type Sample } from "../contest.ts";
import { checkpoints, pgbench, preparedDatabase } from "../conversations/database.ts";
import { type BenchRoom, ChatLoad } from "../conversations/load.ts";
import { circumstances, costOf, WARM_UP, withServers } from "../measure.ts";
import { SECRET } from "../patchbay/tokens.ts";
import { peersFolder } from "../peer.ts";
import type { Scenario } from "../scenario.ts";
import { BenchServer } from "../server.ts";
import { percentile, Samples } from "../statistics.ts";
import type { Stores } from "../stores.ts";

const ROOMS = 200;
/** Messages always under way in each room while the maximum is looked for. */
const UNDER_WAY = 10;
/** Connections of the plain server and of pgbench; a gateway has as many. */
const POOL = 8;

const rooms: readonly BenchRoom[] = Array.from({ length: ROOMS }, (_, i) => ({
  id: `b${i}.s${i}`,
  buyer: `b${i}`,
  seller: `s${i}`,
}));

/** A server of the chat, started on a database of its own. */
interface ChatServer {
  readonly name: string;
  start(stores: Stores, databaseUrl: string): Promise<BenchServer>;
}

const patchbay: ChatServer = {
  name: "patchbay (conversations)",
  start: async (stores, databaseUrl) =>
    BenchServer.start({
      command: [process.execPath, join(import.meta.dir, "../patchbay/server.ts")],
      env: {
        NODE_ENV: "production",
        HOST: "127.0.0.1",
        PORT: "0",
        INTERNAL_PORT: "0",
        PROTOCOLS: "conversations",
        LOG_LEVEL: "error",
        DATABASE_URL: databaseUrl,
        DATA_DIR: await stores.folder(),
        CONVERSATIONS_JWT_SECRET: SECRET,
        // Limits that a load from one address would meet; all checks stay on.
        ACCEPT_RATE: "0",
        CONVERSATIONS_EVENTS_PER_SECOND: "1000000",
        CONVERSATIONS_EVENTS_BURST: "1000000",
        CONVERSATIONS_MESSAGES_PER_MINUTE: "100000000",
      },
    }),
};

const plain: ChatServer = {
  name: "Node socket.io + postgres.js, row by row",
  start: (_stores, databaseUrl) =>
    BenchServer.start({
      command: ["node", "--expose-gc", join(peersFolder, "node-conversations.mjs")],
      env: { NODE_ENV: "production", DATABASE_URL: databaseUrl, POOL: String(POOL) },
    }),
};

export const conversations: Scenario = {
  name: "conversations",
  about: `${ROOMS} rooms of a buyer and a seller: send, commit, deliver; first as fast as it goes, then at half of that by the clock`,
  async run({ stores, rounds, seconds }) {
    const bare = { name: `pgbench, ${POOL} connections, row by row` };
    const contestants = [patchbay, plain, bare] as const;
    const results = await contest(contestants, rounds, (contestant) =>
      "start" in contestant ? play(contestant, stores, seconds) : pgbench(stores, rooms, POOL, seconds),
    );
    return [
      {
        title: `conversations, ${ROOMS} rooms: stored and delivered messages`,
        columns: [
          number("max msg/s", "max", 0),
          number("at msg/s", "rate", 0),
          number("p50 ms", "p50", 2),
          number("p99 ms", "p99", 2),
          number("us/msg", "micros", 1),
          number("server core %", "serverPercent", 0),
          number("checkpoints", "checkpoints", 0),
          ...circumstanceColumns,
          verdict,
        ],
        results,
      },
    ];
  },
};

async function play(chat: ChatServer, stores: Stores, seconds: number): Promise<Sample> {
  const databaseUrl = await preparedDatabase(stores, rooms);
  return withServers([() => chat.start(stores, databaseUrl)], async (server) => {
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const load = new ChatLoad(server.port, rooms, (user) => signToken({ sub: user, exp }, SECRET));
    await load.open();
    await load.saturate(UNDER_WAY, WARM_UP);
    const max = await load.saturate(UNDER_WAY, seconds);
    const rate = max / 2;
    load.latencies = new Samples();
    const before = load.delivered;
    const checkpointsBefore = await checkpoints(databaseUrl);
    const cost = await costOf([server], () => load.pace(rate, seconds));
    const delivered = load.delivered - before;
    load.close();
    const latencies = load.latencies.sorted();
    return {
      max,
      rate,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      micros: (cost.servers[0]! / delivered) * 1e6,
      checkpoints: (await checkpoints(databaseUrl)) - checkpointsBefore,
      serverPercent: (cost.servers[0]! / cost.client.seconds) * 100,
      ...circumstances(cost),
    };
  });
}
