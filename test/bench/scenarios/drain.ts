import { Crowd } from "../client/crowd.ts";
import { circumstanceColumns, number, spread, verdict } from "../columns.ts";
import type { Contender } from "../contender.ts";
import { contest, type Sample } from "../contest.ts";
import { circumstances, costOf, withServers } from "../measure.ts";
import type { Scenario } from "../scenario.ts";

/** The close code that sends clients to another node. */
const COME_BACK = 1012;

export const drain: Scenario = {
  name: "drain",
  about: "SIGTERM with idle sockets: time until the last one has its come-back signal (peers have none to give)",
  async run({ contenders, rounds, quick }) {
    const sockets = quick ? 1000 : 5000;
    const own = contenders.filter(({ name }) => name.startsWith("patchbay"));
    return [
      {
        title: `drain of ${sockets} sockets, each closed with ${COME_BACK}`,
        columns: [
          number("ms", "milliseconds", 0),
          spread("min-max", "milliseconds", 0),
          ...circumstanceColumns,
          verdict,
        ],
        results: await contest(own, rounds, (contender) => play(contender, sockets)),
      },
    ];
  },
};

function play(contender: Contender, sockets: number): Promise<Sample> {
  return withServers([() => contender.start()], async (server) => {
    const crowd = new Crowd();
    await crowd.open(sockets, (user) => contender.destination(server, user));
    const gone = crowd.sentAway();
    const cost = await costOf([server], async () => {
      server.terminate();
      await gone;
    });
    const codes = await gone;
    if (codes.get(COME_BACK) !== sockets) throw new Error(`close codes were ${JSON.stringify([...codes])}`);
    return { milliseconds: cost.client.seconds * 1000, ...circumstances(cost) };
  });
}
