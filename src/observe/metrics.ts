import { Registry } from "prom-client";
import { Families, type Labels } from "./families.ts";
import { registerProcessMetrics } from "./process.ts";

/**
 * A counter that costs one addition where it is counted. Get it once (`metrics.counter(..)`) and keep it; it is read
 * when Prometheus scrapes.
 */
export interface Counter {
  value: number;
}

/** A duration histogram in seconds. */
export interface Histogram {
  observe(seconds: number): void;
}

/** Metrics of one protocol: every series carries `protocol="<name>"`. Label values come from closed sets of the code. */
export interface ProtocolMetrics {
  /** A counter of a family; the same labels give the same object. `name` without the `patchbay_` prefix and `_total`. */
  counter(name: string, help: string, labels?: Labels): Counter;
  histogram(name: string, help: string, labels?: Labels): Histogram;
  /** A value read at each scrape. A second call with the same name and labels replaces the reader. */
  gauge(name: string, help: string, read: () => number, labels?: Labels): void;
}

/** The metrics of this process. */
export interface Metrics {
  /** A view whose series carry the protocol's label. */
  of(protocol: string): ProtocolMetrics;
  /** Series without a protocol label. */
  readonly gateway: ProtocolMetrics;
  /** The text a Prometheus scrape gets, and its content type. */
  text(): Promise<string>;
  readonly contentType: string;
}

/**
 * Makes the metrics of this process, its own vital signs included. Call it once: the timer that measures the event
 * loop's lag runs as long as the process.
 */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const families = new Families(registry);
  registerProcessMetrics(registry);
  const view = (common: Labels): ProtocolMetrics => ({
    counter: (name, help, labels) => families.counter(name, help, { ...common, ...labels }),
    histogram: (name, help, labels) => families.histogram(name, help, { ...common, ...labels }),
    gauge: (name, help, read, labels) => families.gauge(name, help, { ...common, ...labels }, read),
  });
  return {
    of: (protocol) => view({ protocol }),
    gateway: view({}),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
