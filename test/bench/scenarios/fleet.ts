import { circumstanceColumns, number, spread, verdict } from "../columns.ts";
import { contest, type Sample } from "../contest.ts";
import { copyLimit } from "../fleet/copy-limit.ts";
import { FleetFloor } from "../fleet/floor.ts";
import { FleetGateway } from "../fleet/gateway.ts";
import { FleetLoad, type StepResult } from "../fleet/load.ts";
import type { FleetServer } from "../fleet/server.ts";
import type { Scenario } from "../scenario.ts";
import type { Stores } from "../stores.ts";

/** Records a second of the first step, which also warms the gateway up, and what each further one is multiplied with. */
const FIRST = 1_000;
const FACTOR = 1.25;
/** A step is too much when less than this share of it was stored in its time. */
const ENOUGH = 0.95;

/** Records in a tracker's frame: each one at once, or several that were gathered on the way. */
const BUFFERED = [1, 10];

const servers = [
  { name: "patchbay", start: (stores: Stores): Promise<FleetServer> => FleetGateway.start(stores) },
  { name: "floor (parses, COPY, tells)", start: (stores: Stores): Promise<FleetServer> => FleetFloor.start(stores) },
];

const contestants = BUFFERED.flatMap((buffered) =>
  servers.map(({ name, start }) => ({ name: `${name}, ${buffered} a frame`, start, buffered })),
);

export const fleet: Scenario = {
  name: "fleet",
  about:
    "1,000 units on device links, 50 watchers of 200 units each (10 frames for each of a tracker's): records a second, " +
    "rising until they are not stored in time; then half of that; beside a bare server that only parses, COPYs and tells, and Postgres' own COPY into the same table",
  async run({ stores, rounds, seconds }) {
    const play = async ({ start, buffered }: (typeof contestants)[number]): Promise<Sample> => {
      const server = await start(stores);
      try {
        const copy = await copyLimit(server);
        const load = new FleetLoad(server, buffered);
        await load.open();
        const most = await highest(load, seconds);
        const half = await load.step(most.rate / 2, seconds);
        await load.close();
        return {
          ...{ rate: most.rate, p50: most.p50, p99: most.p99, cpu: most.cpu, copy, share: (most.rate / copy) * 100 },
          ...{ halfRate: half.rate, halfP50: half.p50, halfP99: half.p99, halfCpu: half.cpu },
          ...{ clientShare: most.client.share, clientLag: most.client.lag, othersPercent: most.others },
        };
      } finally {
        await server.stop();
      }
    };
    return [
      {
        title: "fleet: 1,000 units, 50 watchers with 200 units each, one gateway on Postgres",
        columns: [
          number("records/s", "rate", 0),
          spread("min-max", "rate", 0),
          number("p50 ms", "p50"),
          number("p99 ms", "p99"),
          number("us/record", "cpu"),
          number("half: /s", "halfRate", 0),
          number("p50 ms", "halfP50"),
          number("p99 ms", "halfP99"),
          number("us/record", "halfCpu"),
          number("COPY rows/s", "copy", 0),
          number("% of COPY", "share", 0),
          ...circumstanceColumns,
          verdict,
        ],
        results: await contest(contestants, rounds, play),
      },
    ];
  },
};

/** The last step that was stored in time. */
async function highest(load: FleetLoad, seconds: number): Promise<StepResult> {
  let best = await load.step(FIRST, seconds);
  for (let offered = FIRST * FACTOR; ; offered *= FACTOR) {
    const result = await load.step(offered, seconds);
    console.error(
      `  ${Math.round(offered)}/s offered: ${Math.round(result.rate)}/s stored, p99 ${result.p99.toFixed(0)} ms`,
    );
    if (result.rate < offered * ENOUGH) return result.rate > best.rate && result.p99 < 1_000 ? result : best;
    best = result;
  }
}
