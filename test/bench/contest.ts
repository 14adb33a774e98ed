import { median } from "./statistics.ts";

/** Numbers of one measurement, by name. */
export type Sample = Readonly<Record<string, number>>;

/** What one contender reached. */
export interface Result {
  readonly name: string;
  readonly samples: readonly Sample[];
  /** Middle value of each number over the rounds. */
  readonly median: Sample;
  /** Why the contender dropped out; null when every round was correct. */
  readonly failure: string | null;
}

/**
 * Measures every contender once a round, in an order that turns around each round, so that a slow change of the machine
 * (heat, neighbours) does not favour one of them. One that fails drops out and is reported.
 */
export async function contest<Contestant extends { readonly name: string }>(
  contenders: readonly Contestant[],
  rounds: number,
  play: (contender: Contestant) => Promise<Sample>,
): Promise<readonly Result[]> {
  const samples = new Map<Contestant, Sample[]>(contenders.map((contender) => [contender, []]));
  const failures = new Map<Contestant, string>();
  for (let round = 0; round < rounds; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      if (failures.has(contender)) continue;
      try {
        samples.get(contender)!.push(await play(contender));
        console.error(`  round ${round + 1} of ${rounds}: ${contender.name}`);
      } catch (error) {
        failures.set(contender, error instanceof Error ? error.message : String(error));
        console.error(`  round ${round + 1} of ${rounds}: ${contender.name} failed: ${failures.get(contender)}`);
      }
    }
  }
  return contenders.map((contender) => {
    const own = samples.get(contender)!;
    return { name: contender.name, samples: own, median: medians(own), failure: failures.get(contender) ?? null };
  });
}

function medians(samples: readonly Sample[]): Sample {
  const names = Object.keys(samples[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, median(samples.map((sample) => sample[name]!))]));
}
