import { Crowd } from "../client/crowd.ts";
import { OpenLoop } from "../client/open-loop.ts";
import { type Mode, modes, Steps } from "../client/steps.ts";
import { circumstanceColumns, number, spread, verdict } from "../columns.ts";
import type { Contender } from "../contender.ts";
import { contest, type Sample } from "../contest.ts";
import { circumstances, costOf, WARM_UP, withServers } from "../measure.ts";
import type { Bench, Scenario, Table } from "../scenario.ts";
import { percentile, type Samples } from "../statistics.ts";

const ROOMS = 50;
const MEMBERS = 10;
/** Moves a second of each member; low enough that two nodes, Redis and the client have room on two cores. */
const RATE = 2;
/** Sockets that receive on the far node. */
const FAR = 1000;

export const nodes: Scenario = {
  name: "nodes",
  about: "two nodes over Redis: what the way to the other node adds, and what a delivery costs there",
  async run(bench) {
    const socketIo = bench.contenders.filter(({ kind }) => kind === "socket.io");
    const tables: Table[] = [await latency(bench, socketIo)];
    for (const mode of modes) tables.push(await farCost(bench, socketIo, mode));
    return tables;
  },
};

async function latency({ rounds, seconds, stores }: Bench, contenders: readonly Contender[]): Promise<Table> {
  return {
    title: `nodes, ${ROOMS} rooms x ${MEMBERS} x ${RATE} moves/s, members on both nodes: latency in ms`,
    columns: [
      number("one node p50", "onlyP50", 2),
      number("p99", "onlyP99", 2),
      number("same node p50", "nearP50", 2),
      number("p99", "nearP99", 2),
      number("other node p50", "farP50", 2),
      number("p99", "farP99", 2),
      number("added p50", "added", 2),
      ...circumstanceColumns,
      verdict,
    ],
    results: await contest(contenders, rounds, async (contender) => {
      const one = await talk(contender, [() => contender.start()], seconds);
      const cluster = stores.keyPrefix();
      const node = () => contender.start(cluster);
      const two = await talk(contender, [node, node], seconds);
      const { p50: onlyP50, p99: onlyP99 } = percentiles(one.near);
      const { p50: nearP50, p99: nearP99 } = percentiles(two.near);
      const { p50: farP50, p99: farP99 } = percentiles(two.far);
      return {
        onlyP50,
        onlyP99,
        nearP50,
        nearP99,
        farP50,
        farP99,
        added: farP50 - onlyP50,
        ...circumstances(two.cost),
      };
    }),
  };
}

/** Runs the rooms on these nodes, the members of each room spread over them. */
function talk(contender: Contender, starts: readonly (() => ReturnType<Contender["start"]>)[], seconds: number) {
  return withServers(starts, async (...servers) => {
    const crowd = new Crowd();
    const { tally } = crowd;
    await crowd.open(ROOMS * MEMBERS, (user) => {
      const node = user % servers.length;
      return { ...contender.destination(servers[node]!, user), node };
    });
    const rooms = await contender.rooms(servers[0]!, ROOMS);
    await crowd.join(rooms, MEMBERS);
    const loop = new OpenLoop(crowd, contender, { rooms, members: MEMBERS, rate: RATE });
    await loop.run(WARM_UP);
    await tally.settled();
    tally.measure();
    const cost = await costOf(servers, async () => {
      await loop.run(seconds);
      await tally.settled();
    });
    await crowd.close();
    tally.verify();
    return { near: tally.near, far: tally.far, cost };
  });
}

const percentiles = (samples: Samples) => {
  const sorted = samples.sorted();
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
};

async function farCost(
  { rounds, seconds, stores }: Bench,
  contenders: readonly Contender[],
  mode: Mode,
): Promise<Table> {
  return {
    title: `nodes, sender on one, ${FAR} receivers on the other, ${mode.name}: microseconds of CPU`,
    columns: [
      number("far node us/msg", "far", 2),
      spread("min-max", "far", 2),
      number("near node us/move", "near", 0),
      number("msg/s", "rate", 0),
      ...circumstanceColumns,
      verdict,
    ],
    results: await contest(contenders, rounds, (contender) => {
      const cluster = stores.keyPrefix();
      return cross(contender, () => contender.start(cluster), mode, seconds);
    }),
  };
}

/** One sender on the first node, everybody else on the second. */
function cross(
  contender: Contender,
  start: () => ReturnType<Contender["start"]>,
  mode: Mode,
  seconds: number,
): Promise<Sample> {
  return withServers([start, start], async (...servers) => {
    const crowd = new Crowd();
    const { tally } = crowd;
    await crowd.open(FAR + 1, (user) => {
      const node = user === 0 ? 0 : 1;
      return { ...contender.destination(servers[node]!, user), node };
    });
    const rooms = await contender.rooms(servers[0]!, 1);
    await crowd.join(rooms, FAR + 1);
    const steps = new Steps(crowd, rooms[0]!, contender);
    await steps.run(mode, WARM_UP);
    const before = tally.delivered;
    const cost = await costOf(servers, () => steps.run(mode, seconds));
    const moves = (tally.delivered - before) / (FAR + 1);
    await crowd.close();
    tally.verify();
    return {
      far: (cost.servers[1]! / (moves * FAR)) * 1e6,
      near: (cost.servers[0]! / moves) * 1e6,
      rate: (moves * (FAR + 1)) / cost.client.seconds,
      ...circumstances(cost),
    };
  });
}
