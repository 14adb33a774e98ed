import { Crowd } from "../client/crowd.ts";
import { number, spread, verdict } from "../columns.ts";
import type { Contender } from "../contender.ts";
import { contest, type Sample } from "../contest.ts";
import { withServers } from "../measure.ts";
import type { Scenario } from "../scenario.ts";

/** Sockets that come and go before the measurement, so that code and pools are there. */
const WARM_UP_SOCKETS = 500;

export const idle: Scenario = {
  name: "idle",
  about: "resident memory of the server, all garbage collected, with many sockets that do nothing",
  async run({ contenders, rounds, quick }) {
    const sockets = quick ? 1000 : 5000;
    return [
      {
        title: `idle, ${sockets} sockets: KiB of server memory per socket`,
        columns: [
          number("KiB/socket", "kib", 2),
          spread("min-max", "kib", 2),
          number("MiB before", "before", 0),
          number("with them", "with", 0),
          number("when they left", "after", 0),
          verdict,
        ],
        results: await contest(contenders, rounds, (contender) => play(contender, sockets)),
      },
    ];
  },
};

function play(contender: Contender, sockets: number): Promise<Sample> {
  return withServers([() => contender.start()], async (server) => {
    const crowd = new Crowd();
    const come = (count: number) => crowd.open(count, (user) => contender.destination(server, user));
    await come(WARM_UP_SOCKETS);
    await crowd.close();
    const before = await server.settledMemory();
    await come(sockets);
    const full = await server.settledMemory();
    await crowd.close();
    const after = await server.settledMemory();
    crowd.tally.verify();
    return {
      kib: (full - before) / 1024 / sockets,
      before: before / 2 ** 20,
      with: full / 2 ** 20,
      after: after / 2 ** 20,
    };
  });
}
