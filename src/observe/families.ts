import * as prometheus from "prom-client";
import { Distribution } from "./distribution.ts";
import type { Counter, Histogram } from "./metrics.ts";

export type Labels = Readonly<Record<string, string>>;

/** From 50 us, a handler that touches memory only, to 10 s, where every limit of ours has struck. In seconds. */
const buckets = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** One metric and its series, each known by its labels. */
interface Family<Series> {
  /** The series with these labels, made when it is new. */
  series(labels: Labels): Series;
  /** The label names that the first declaration fixed. */
  readonly labelNames: string;
}

/** A gauge's reader; a later declaration of the same series replaces it. */
interface Reading {
  read: () => number;
}

/**
 * The metrics of a registry by name. Declaring one again is free; declaring it with other label names throws, because
 * Prometheus cannot sum such series.
 */
export class Families {
  readonly #registry: prometheus.Registry;
  readonly #counters = new Map<string, Family<Counter>>();
  readonly #histograms = new Map<string, Family<Histogram>>();
  readonly #gauges = new Map<string, Family<Reading>>();

  constructor(registry: prometheus.Registry) {
    this.#registry = registry;
  }

  counter(name: string, help: string, labels: Labels): Counter {
    return declare(this.#counters, `patchbay_${name}_total`, labels, (config) => {
      const { series, all } = seriesMap<Counter>(() => ({ value: 0 }));
      new prometheus.Counter({
        ...config,
        help,
        registers: [this.#registry],
        collect() {
          this.reset();
          for (const [labels, counter] of all()) this.inc({ ...labels }, counter.value);
        },
      });
      return series;
    });
  }

  histogram(name: string, help: string, labels: Labels): Histogram {
    return declare(this.#histograms, `patchbay_${name}`, labels, (config) => {
      const { series, all } = seriesMap(() => new Distribution(buckets));
      // Not a histogram of prom-client: to observe through it costs ten times as much.
      const values = () => [...all()].flatMap(([labels, distribution]) => distribution.samples(config.name, labels));
      const get = async () => ({ name: config.name, help, type: "histogram", values: values() });
      this.#registry.registerMetric({ name: config.name, get } as unknown as prometheus.Metric);
      return series;
    });
  }

  gauge(name: string, help: string, labels: Labels, read: () => number): void {
    const reading = declare(this.#gauges, `patchbay_${name}`, labels, (config) => {
      const { series, all } = seriesMap<Reading>(() => ({ read }));
      new prometheus.Gauge({
        ...config,
        help,
        registers: [this.#registry],
        collect() {
          for (const [labels, reading] of all()) this.set({ ...labels }, currentValue(reading));
        },
      });
      return series;
    });
    reading.read = read;
  }
}

function declare<Series>(
  families: Map<string, Family<Series>>,
  name: string,
  labels: Labels,
  make: (config: { name: string; labelNames: string[] }) => (labels: Labels) => Series,
): Series {
  // `protocol` is always allowed: the gateway's own series of a shared metric are those without it.
  const own = Object.keys(labels).filter((label) => label !== "protocol");
  const labelNames = own.sort().join();
  let family = families.get(name);
  if (family === undefined) {
    family = { labelNames, series: make({ name, labelNames: ["protocol", ...own] }) };
    families.set(name, family);
  }
  if (family.labelNames !== labelNames) {
    throw new Error(`metric ${name} has the labels (${family.labelNames}), not (${labelNames})`);
  }
  return family.series(labels);
}

function seriesMap<Series>(make: (labels: Labels) => Series): {
  series: (labels: Labels) => Series;
  all: () => Iterable<[Labels, Series]>;
} {
  const byKey = new Map<string, [Labels, Series]>();
  return {
    series(labels) {
      const key = JSON.stringify(Object.entries(labels).sort());
      let entry = byKey.get(key);
      if (entry === undefined) {
        entry = [labels, make(labels)];
        byKey.set(key, entry);
      }
      return entry[1];
    },
    all: () => byKey.values(),
  };
}

/** A reader that throws spoils its own series, not the scrape. */
function currentValue(reading: Reading): number {
  try {
    return reading.read();
  } catch {
    return Number.NaN;
  }
}
