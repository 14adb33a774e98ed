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
  counter(name: string, help: string, labels?: Readonly<Record<string, string>>): Counter;
  histogram(name: string, help: string, labels?: Readonly<Record<string, string>>): Histogram;
  /** A value read at each scrape. A second call with the same name and labels replaces the reader. */
  gauge(name: string, help: string, read: () => number, labels?: Readonly<Record<string, string>>): void;
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
