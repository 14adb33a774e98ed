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
import { connect } from "./scenarios/connect.ts";
import { fanout } from "./scenarios/fanout.ts";
import { idle } from "./scenarios/idle.ts";
import { nodes } from "./scenarios/nodes.ts";
import { rooms } from "./scenarios/rooms.ts";
import { start } from "./scenarios/start.ts";
import { openStores } from "./stores.ts";
import { printed } from "./table.ts";

const scenarios: readonly Scenario[] = [fanout, rooms, idle, connect, start, nodes];

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

const unknown = options.scenario.filter((name) => !scenarios.some((scenario) => scenario.name === name));
if (unknown.length > 0) {
  console.error(`no scenario ${unknown.join(", ")}; there are ${scenarios.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

if (!existsSync(join(peersFolder, "node_modules"))) {
  console.error("installing the peers in test/bench/peers");
  Bun.spawnSync([process.execPath, "install", "--frozen-lockfile"], { cwd: peersFolder, stdio: ["ignore", 2, 2] });
}

const here = await machine();
const stores = await openStores();
const chosen = (name: string, of: readonly string[]) => of.length === 0 || of.some((part) => name.includes(part));
const bench: Bench = {
  contenders: contenders(stores).filter(({ name }) => chosen(name, options.server)),
  stores,
  rounds: Number(options.rounds ?? (options.quick ? 1 : 3)),
  seconds: Number(options.seconds ?? (options.quick ? 1 : 5)),
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
  for (const scenario of scenarios) {
    if (options.scenario.length > 0 && !options.scenario.includes(scenario.name)) continue;
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
