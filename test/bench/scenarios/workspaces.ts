import { join } from "node:path";
import { circumstanceColumns, number, verdict } from "../columns.ts";
import { contest, type Sample } from "../contest.ts";
import { circumstances, costOf, WARM_UP, withServers } from "../measure.ts";
import { SECRET } from "../patchbay/tokens.ts";
import { peersFolder } from "../peer.ts";
import type { Scenario } from "../scenario.ts";
import { BenchServer } from "../server.ts";
import { percentile, Samples } from "../statistics.ts";
import type { Stores } from "../stores.ts";
import { WorkspaceLoad } from "../workspaces/load.ts";
import { cast, preparedDatabase } from "../workspaces/prepare.ts";

const WORKSPACES = 200;
const MEMBERS = 20;
/** Actions always under way. */
const UNDER_WAY = 16;

const users = cast(WORKSPACES, MEMBERS);

interface WorkspaceServer {
  readonly name: string;
  start(stores: Stores): Promise<BenchServer>;
}

const patchbay: WorkspaceServer = {
  name: "patchbay (workspaces)",
  start: async (stores) =>
    BenchServer.start({
      command: [process.execPath, join(import.meta.dir, "../patchbay/server.ts")],
      env: {
        NODE_ENV: "production",
        HOST: "127.0.0.1",
        PORT: "0",
        INTERNAL_PORT: "0",
        PROTOCOLS: "workspaces",
        LOG_LEVEL: "error",
        DATABASE_URL: await preparedDatabase(stores, users),
        DATA_DIR: await stores.folder(),
        WORKSPACES_SECRET_KEY: SECRET,
        // Limits that a load from one address would meet; all checks stay on.
        ACCEPT_RATE: "0",
        WORKSPACES_RATE_REST: "1000000",
        WORKSPACES_PING_INTERVAL: "300000",
      },
    }),
};

const plain: WorkspaceServer = {
  name: "Node socket.io + ws, nothing checked or stored",
  start: () =>
    BenchServer.start({
      command: ["node", "--expose-gc", join(peersFolder, "node-workspaces.mjs")],
      env: { NODE_ENV: "production" },
    }),
};

export const workspaces: Scenario = {
  name: "workspaces",
  about: `${WORKSPACES} workspaces of ${MEMBERS}: people enter and leave channels and change their status, ${UNDER_WAY} actions under way`,
  async run({ stores, rounds, seconds }) {
    const results = await contest([patchbay, plain], rounds, (server) => play(server, stores, seconds));
    return [
      {
        title: `workspaces, ${WORKSPACES} x ${MEMBERS}: select, unselect and status, each heard by all of a workspace`,
        columns: [
          number("events/s", "rate", 0),
          number("actions/s", "actions", 0),
          number("p50 ms", "p50", 2),
          number("p99 ms", "p99", 2),
          number("us/event", "micros", 1),
          number("server core %", "serverPercent", 0),
          ...circumstanceColumns,
          verdict,
        ],
        results,
      },
    ];
  },
};

function play(server: WorkspaceServer, stores: Stores, seconds: number): Promise<Sample> {
  return withServers([() => server.start(stores)], async (running) => {
    const load = new WorkspaceLoad(running.port, users, MEMBERS);
    await load.open();
    await load.saturate(UNDER_WAY, WARM_UP);
    load.latencies = new Samples();
    const before = load.events;
    let rate = 0;
    const cost = await costOf([running], async () => {
      rate = await load.saturate(UNDER_WAY, seconds);
    });
    const delivered = load.events - before;
    await load.close();
    const latencies = load.latencies.sorted();
    return {
      rate,
      actions: rate / MEMBERS,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      micros: (cost.servers[0]! / delivered) * 1e6,
      serverPercent: (cost.servers[0]! / cost.client.seconds) * 100,
      ...circumstances(cost),
    };
  });
}
