import { Crowd } from "../client/crowd.ts";
import { OpenLoop } from "../client/open-loop.ts";
import { againstFloor, circumstanceColumns, number, verdict } from "../columns.ts";
import type { Contender } from "../contender.ts";
import { contest, type Sample } from "../contest.ts";
import { circumstances, costOf, WARM_UP, withServers } from "../measure.ts";
import type { Scenario, Table } from "../scenario.ts";
import { percentile } from "../statistics.ts";

const ROOMS = 200;
const MEMBERS = 10;
/** Moves a second of each member: one that every server keeps up with, and one that not every server may. */
const RATES = [1, 5];

export const rooms: Scenario = {
  name: "rooms",
  about: `${ROOMS} rooms of ${MEMBERS}, every member sends by the clock, whatever has arrived`,
  async run({ contenders, rounds, seconds }) {
    const tables: Table[] = [];
    for (const rate of RATES) {
      const deliveries = rate * ROOMS * MEMBERS * MEMBERS;
      tables.push({
        title: `rooms, ${ROOMS} x ${MEMBERS} x ${rate} moves/s = ${deliveries} deliveries/s: latency and server CPU`,
        columns: [
          number("p50 ms", "p50", 2),
          number("p99 ms", "p99", 2),
          number("us/msg", "micros", 2),
          againstFloor("micros"),
          number("server core %", "serverPercent", 0),
          number("caught up after ms", "backlog", 0),
          number("sent late p99 ms", "lateness"),
          ...circumstanceColumns,
          verdict,
        ],
        results: await contest(contenders, rounds, (contender) => play(contender, rate, seconds)),
      });
    }
    return tables;
  },
};

function play(contender: Contender, rate: number, seconds: number): Promise<Sample> {
  return withServers([() => contender.start()], async (server) => {
    const crowd = new Crowd();
    const { tally } = crowd;
    await crowd.open(ROOMS * MEMBERS, (user) => contender.destination(server, user));
    const names = await contender.rooms(server, ROOMS);
    await crowd.join(names, MEMBERS);
    const loop = new OpenLoop(crowd, contender, { rooms: names, members: MEMBERS, rate });
    await loop.run(WARM_UP);
    await tally.settled();
    tally.measure();
    const before = tally.delivered;
    let backlog = 0;
    const cost = await costOf([server], async () => {
      await loop.run(seconds);
      const sent = performance.now();
      await tally.settled();
      backlog = performance.now() - sent;
    });
    const delivered = tally.delivered - before;
    await crowd.close();
    tally.verify();
    const latencies = tally.near.sorted();
    return {
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      micros: (cost.servers[0]! / delivered) * 1e6,
      serverPercent: (cost.servers[0]! / cost.client.seconds) * 100,
      backlog,
      delivered,
      lateness: loop.lateness,
      ...circumstances(cost),
    };
  });
}
