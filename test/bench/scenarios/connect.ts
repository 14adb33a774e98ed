import { Crowd } from "../client/crowd.ts";
import { againstFloor, circumstanceColumns, number, spread, verdict } from "../columns.ts";
import type { Contender } from "../contender.ts";
import { contest, type Sample } from "../contest.ts";
import { circumstances, costOf, withServers } from "../measure.ts";
import type { Scenario } from "../scenario.ts";

/** Sockets that connect before the measurement, for the compilers of the runtimes. */
const WARM_UP_SOCKETS = 500;

export const connect: Scenario = {
  name: "connect",
  about: "sockets connect, 64 at a time, each until its CONNECT is answered, and stay",
  async run({ contenders, rounds, quick }) {
    const sockets = quick ? 1000 : 4000;
    return [
      {
        title: `connect, ${sockets} sockets: connections a second and server CPU for each`,
        columns: [
          number("conn/s", "rate", 0),
          number("us/conn", "micros", 0),
          spread("min-max", "micros", 0),
          againstFloor("micros"),
          ...circumstanceColumns,
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
    const cost = await costOf([server], () => come(sockets));
    await crowd.close();
    crowd.tally.verify();
    return {
      rate: sockets / cost.client.seconds,
      micros: (cost.servers[0]! / sockets) * 1e6,
      ...circumstances(cost),
    };
  });
}
