/**
 * `bun run bench`: what patchbay costs beside other servers, on this machine, in this run.
 *
 *   --scenario name   only this one (may be given several times)
 *   --server text     only servers whose name contains the text (may be given several times)
 *   --rounds n        measurements of each server; the median counts (3)
 *   --seconds n       load in each measurement (5)
 *   --quick           one short round
 *   --json            all numbers of all rounds as JSON instead of tables
 *
 * This process is the load client; each server is a process of its own, fresh for each measurement. Server time is what
 * the operating system has booked for the server's process. Progress goes to standard error. Needs Redis and Postgres
 * (BENCH_REDIS_URL, BENCH_POSTGRES_URL) and Node; the peers are installed on the first run.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { contenders } from "./contenders.ts";
import { machine } from "./machine.ts";
import { peersFolder } from "./peer.ts";
import type { Bench, Scenario } from "./scenario.ts";
import { chat } from "./scenarios/chat.ts";
import { connect } from "./scenarios/connect.ts";
import { conversations } from "./scenarios/conversations.ts";
import { drain } from "./scenarios/drain.ts";
import { fanout } from "./scenarios/fanout.ts";
import { fleet } from "./scenarios/fleet.ts";
import { idle } from "./scenarios/idle.ts";
import { nodes } from "./scenarios/nodes.ts";
import { rooms } from "./scenarios/rooms.ts";
import { start } from "./scenarios/start.ts";
import { workspaces } from "./scenarios/workspaces.ts";
import { openStores } from "./stores.ts";
import { printed } from "./table.ts";

const scenarios: readonly Scenario[] = [
  fanout,
  rooms,
  idle,
  connect,
  drain,
  start,
  nodes,
  chat,
  conversations,
  fleet,
  workspaces,
];

const { values: options } = parseArgs({
  options: {
    scenario: { type: "string", multiple: true, default: [] },
    server: { type: "string", multiple: true, default: [] },
    rounds: { type: "string" },
    seconds: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const refuse = (fault: string): never => {
  console.error(fault);
  process.exit(2);
};

const positive = (text: string | undefined, otherwise: number): number => {
  const value = text === undefined ? otherwise : Number(text);
  return value > 0 ? value : refuse(`${text} is not a number above 0`);
};

const asked = options.scenario.length > 0 ? options.scenario : scenarios.map(({ name }) => name);
const chosen = asked.map(
  (name) =>
    scenarios.find((scenario) => scenario.name === name) ??
    refuse(`no scenario ${name}; there are ${scenarios.map((scenario) => scenario.name).join(", ")}`),
);
const rounds = positive(options.rounds, options.quick ? 1 : 3);
const seconds = positive(options.seconds, options.quick ? 1 : 5);

if (!existsSync(join(peersFolder, "node_modules"))) console.error("installing the peers in test/bench/peers");
const install = [process.execPath, "install", "--frozen-lockfile", "--silent"];
if (Bun.spawnSync(install, { cwd: peersFolder, stdio: ["ignore", 2, 2] }).exitCode !== 0) process.exit(1);

const here = await machine();
const stores = await openStores();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => void stores.close().finally(() => process.exit(1)));
}
const bench: Bench = {
  contenders: contenders(stores).filter(
    ({ name }) => options.server.length === 0 || options.server.some((part) => name.includes(part)),
  ),
  stores,
  rounds,
  seconds,
  quick: options.quick,
};

if (!options.json) {
  console.log(`${here.cpu}, ${here.cores} cores, ${here.memoryGiB} GiB, ${here.kernel}`);
  console.log(
    Object.entries(here.versions)
      .map((version) => version.join(" "))
      .join(", "),
  );
}
const report: unknown[] = [];
let failed = false;
try {
  for (const scenario of chosen) {
    console.error(`${scenario.name}: ${scenario.about}`);
    for (const table of await scenario.run(bench)) {
      failed ||= table.results.some((result) => result.failure !== null);
      report.push({ scenario: scenario.name, title: table.title, results: table.results });
      if (!options.json) console.log(`\n${printed(table)}`);
    }
  }
} finally {
  await stores.close();
}
if (options.json) console.log(JSON.stringify({ machine: here, tables: report }, null, 2));
process.exit(failed ? 1 : 0);
