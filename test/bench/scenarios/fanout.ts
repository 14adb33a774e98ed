import { Crowd } from "../client/crowd.ts";
import { type Mode, modes, Steps } from "../client/steps.ts";
import { againstFloor, circumstanceColumns, number, spread, verdict } from "../columns.ts";
import type { Contender } from "../contender.ts";
import { contest, type Sample } from "../contest.ts";
import { circumstances, costOf, WARM_UP, withServers } from "../measure.ts";
import type { Scenario, Table } from "../scenario.ts";

/** Sockets of the room, the sender among them. */
const MEMBERS = 1000;

export const fanout: Scenario = {
  name: "fanout",
  about: `one member of a room sends, ${MEMBERS} sockets receive, then comes the next step`,
  async run({ contenders, rounds, seconds }) {
    const tables: Table[] = [];
    for (const mode of modes) {
      tables.push({
        title: `fanout, 1 to ${MEMBERS}, ${mode.name}: microseconds of server CPU per delivered message`,
        columns: [
          number("us/msg", "micros", 2),
          spread("min-max", "micros", 2),
          againstFloor("micros"),
          number("msg/s", "rate", 0),
          number("client us/msg", "clientMicros", 2),
          ...circumstanceColumns,
          verdict,
        ],
        results: await contest(contenders, rounds, (contender) => play(contender, mode, seconds)),
      });
    }
    return tables;
  },
};

function play(contender: Contender, mode: Mode, seconds: number): Promise<Sample> {
  return withServers([() => contender.start()], async (server) => {
    const crowd = new Crowd();
    await crowd.open(MEMBERS, (user) => contender.destination(server, user));
    const rooms = await contender.rooms(server, 1);
    await crowd.join(rooms, MEMBERS);
    const steps = new Steps(crowd, rooms[0]!, contender);
    await steps.run(mode, WARM_UP);
    const before = crowd.tally.delivered;
    const cost = await costOf([server], () => steps.run(mode, seconds));
    const delivered = crowd.tally.delivered - before;
    await crowd.close();
    crowd.tally.verify();
    return {
      micros: (cost.servers[0]! / delivered) * 1e6,
      rate: delivered / cost.client.seconds,
      delivered,
      clientMicros: (cost.client.cpu / delivered) * 1e6,
      ...circumstances(cost),
    };
  });
}
