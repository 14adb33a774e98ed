import { type ClientCost, watchClient } from "./client/watch.ts";
import type { BenchServer } from "./server.ts";
import { machineCpu } from "./usage.ts";

/** A client that uses more of a core than this measures itself. */
export const CLIENT_BOUND = 0.9;

/** Seconds of load before a measurement, for the compilers of the runtimes. */
export const WARM_UP = 1;

/** What a piece of work cost: CPU seconds of each server, and the client. */
export interface Cost {
  readonly servers: readonly number[];
  readonly client: ClientCost;
  /** What everything else on the machine used meanwhile, as part of one core: how far the numbers can be trusted. */
  readonly others: number;
}

/** How the client and the rest of the machine fared, as numbers of a sample. */
export const circumstances = ({ client, others }: Cost) => ({
  clientShare: client.share,
  clientLag: client.lag,
  othersPercent: others * 100,
});

/** Runs a piece of work and reads from the operating system what it cost. */
export async function costOf(servers: readonly BenchServer[], work: () => Promise<void>): Promise<Cost> {
  const before = servers.map((server) => server.usage().cpu);
  const machineBefore = machineCpu();
  const stop = watchClient();
  await work();
  const client = stop();
  const spent = servers.map((server, index) => server.usage().cpu - before[index]!);
  const known = spent.reduce((sum, cpu) => sum + cpu, client.cpu);
  const others = Math.max(0, machineCpu() - machineBefore - known) / client.seconds;
  return { servers: spent, client, others };
}

/** Starts servers, hands them over, and stops them whatever happens. */
export async function withServers<T>(
  starts: readonly (() => Promise<BenchServer>)[],
  work: (...servers: BenchServer[]) => Promise<T>,
): Promise<T> {
  const servers: BenchServer[] = [];
  try {
    for (const start of starts) servers.push(await start());
    return await work(...servers);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}
