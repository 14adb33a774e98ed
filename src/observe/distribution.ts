import type { Histogram } from "./metrics.ts";

/** A line of a scrape. */
export interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A histogram's series: how many observations fell between its bounds, and what they come to. */
export class Distribution implements Histogram {
  readonly #bounds: readonly number[];
  /** By the first bound that is not below them; the last are beyond every bound. */
  readonly #counts: number[];
  #sum = 0;

  /** `bounds`: upper ones, ascending, each of them included. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array(bounds.length + 1).fill(0);
  }

  observe(seconds: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && seconds > bounds[index]!) index++;
    this.#counts[index]!++;
    this.#sum += seconds;
  }

  /** As Prometheus has it: each bucket holds those of the ones below it as well. */
  samples(name: string, labels: Readonly<Record<string, string>>): Sample[] {
    let count = 0;
    const buckets = this.#counts.map((own, index) => {
      count += own;
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[index] ?? "+Inf", ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
