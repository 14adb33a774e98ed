import { number, spread } from "../columns.ts";
import { contest, type Sample } from "../contest.ts";
import { copyLimit } from "../fleet/copy-limit.ts";
import { FleetGateway } from "../fleet/gateway.ts";
import { FleetLoad, type StepResult } from "../fleet/load.ts";
import type { Scenario } from "../scenario.ts";

/** Records a second of the first step, and what each further one is multiplied with. */
const FIRST = 1_000;
const FACTOR = 1.4;
/** A step is too much when less than this share of it was stored in its time. */
const ENOUGH = 0.95;

export const fleet: Scenario = {
  name: "fleet",
  about:
    "1,000 units on device links, 50 watchers of 200 units each (10 frames a record): records a second, rising until they " +
    "are not stored in time; then half of that; beside them Postgres' own COPY into the same table",
  async run({ stores, rounds, seconds }) {
    const play = async (): Promise<Sample> => {
      const gateway = await FleetGateway.start(stores);
      const load = new FleetLoad(gateway);
      try {
        await load.open();
        const most = await highest(load, seconds);
        const half = await load.step(most.rate / 2, seconds);
        load.close();
        const copy = await copyLimit(gateway);
        return {
          ...{ rate: most.rate, p50: most.p50, p99: most.p99, cpu: most.cpu },
          ...{ halfRate: half.rate, halfP50: half.p50, halfP99: half.p99, halfCpu: half.cpu },
          ...{ copy, share: (most.rate / copy) * 100 },
        };
      } finally {
        load.close();
        await gateway.stop();
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
          number("CPU us", "cpu"),
          number("half: /s", "halfRate", 0),
          number("p50 ms", "halfP50"),
          number("p99 ms", "halfP99"),
          number("CPU us", "halfCpu"),
          number("COPY rows/s", "copy", 0),
          number("% of COPY", "share", 0),
        ],
        results: await contest([{ name: "patchbay (fleet)" }], rounds, play),
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
