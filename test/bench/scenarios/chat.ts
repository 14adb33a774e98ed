import { type ChatContender, chatContenders } from "../chat/contenders.ts";
import { chatDatabase } from "../chat/database.ts";
import { insertLimit } from "../chat/insert-limit.ts";
import { percentiles, Talk } from "../chat/talk.ts";
import { circumstanceColumns, number, spread, verdict } from "../columns.ts";
import { contest, type Sample } from "../contest.ts";
import { circumstances, costOf, WARM_UP, withServers } from "../measure.ts";
import type { Bench, Scenario, Table } from "../scenario.ts";

const ROOMS = 100;
const MEMBERS = 10;
/** Messages a second of all together: what every server keeps up with, and more than one may. */
const RATES = [500, 2_000, 12_000];

export const chat: Scenario = {
  name: "chat",
  about: `${ROOMS} rooms of ${MEMBERS} send by the clock; each message is stored, confirmed, and delivered to the others`,
  async run(bench) {
    const tables: Table[] = [];
    for (const rate of RATES) {
      tables.push({
        title: `chat, ${ROOMS} x ${MEMBERS}, ${rate} messages/s offered: confirmed messages, latency in ms, server CPU`,
        columns: [
          number("confirmed/s", "confirmed", 0),
          spread("min-max", "confirmed", 0),
          number("x pgbench", "againstLimit", 2),
          number("confirm p50", "confirmP50"),
          number("p99", "confirmP99"),
          number("deliver p50", "deliverP50"),
          number("p99", "deliverP99"),
          number("server us/msg", "micros", 0),
          number("caught up after ms", "backlog", 0),
          number("out of order %", "disorder"),
          ...circumstanceColumns,
          verdict,
        ],
        results: await contest(chatContenders(bench.stores), bench.rounds, (contender) => play(bench, contender, rate)),
      });
    }
    return tables;
  },
};

async function play({ stores, seconds }: Bench, contender: ChatContender, rate: number): Promise<Sample> {
  const { url, rooms } = await chatDatabase(stores, ROOMS, MEMBERS);
  const limit = await insertLimit(url, rooms[0]!, await stores.folder(), Math.min(2, seconds));
  return withServers([() => contender.start(url)], async (server) => {
    const talkers = rooms.flatMap(({ id: room, participants }) =>
      participants.map((id) => ({ id, room, destination: contender.destination(server, id) })),
    );
    const talk = new Talk(talkers, MEMBERS);
    await talk.open();
    await talk.run(Math.min(rate, RATES[0]!), WARM_UP);
    await talk.settled();
    talk.measure();
    let confirmed = talk.confirmed;
    let backlog = 0;
    const before = talk.sent;
    const cost = await costOf([server], async () => {
      await talk.run(rate, seconds);
      confirmed = talk.confirmed - confirmed;
      const sent = performance.now();
      await talk.settled();
      backlog = performance.now() - sent;
    });
    await talk.close();
    talk.verify();
    const [confirm, deliver] = [percentiles(talk.confirmations), percentiles(talk.deliveries)];
    return {
      confirmed: confirmed / seconds,
      againstLimit: confirmed / seconds / limit,
      confirmP50: confirm.p50,
      confirmP99: confirm.p99,
      deliverP50: deliver.p50,
      deliverP99: deliver.p99,
      micros: (cost.servers[0]! / (talk.sent - before)) * 1e6,
      backlog,
      disorder: (talk.disorder / talk.delivered) * 100,
      ...circumstances(cost),
    };
  });
}
