import type { Counter, Histogram, ProtocolMetrics } from "../../observe/metrics.ts";

/** What the fleet counts (F-10.3). Labels come from closed sets; no unit and no user is among them. */
export class Counters {
  readonly #metrics: ProtocolMetrics;
  readonly #stored: Record<"records" | "events", Counter>;
  readonly #doubles: Counter;
  readonly #lag: Histogram;

  constructor(metrics: ProtocolMetrics) {
    this.#metrics = metrics;
    const stored = (what: string) => metrics.counter("ingested", "Records and events stored.", { what });
    this.#stored = { records: stored("records"), events: stored("events") };
    this.#doubles = metrics.counter("ingest_doubles", "Reports that had been stored before.");
    this.#lag = metrics.histogram("ingest_lag_seconds", "Time from a record's tmx to its reception.");
  }

  stored(what: "records" | "events", count: number): void {
    this.#stored[what].value += count;
  }

  doubled(count: number): void {
    this.#doubles.value += count;
  }

  lag(seconds: number): void {
    this.#lag.observe(seconds);
  }

  refusedRecord(door: "device" | "osmand" | "traccar"): void {
    this.#metrics.counter("ingest_refused", "Reports refused as faulty, by door.", { door }).value++;
  }

  command(result: "answered" | "sent" | "failed" | "timeout" | "refused"): void {
    this.#metrics.counter("commands", "Commands of users, by result.", { result }).value++;
  }

  message(txs: number): void {
    this.#metrics.counter("driver_messages", "Messages to drivers, by the txs they reached.", { txs: String(txs) })
      .value++;
  }

  closed(endpoint: "client" | "device", code: number): void {
    const label = code >= 1000 && code <= 1015 ? String(code) : code >= 4000 && code < 5000 ? String(code) : "other";
    this.#metrics.counter("closes", "Sockets that were closed here, by code.", { endpoint, code: label }).value++;
  }

  /** Reads live numbers at each scrape. */
  watch(what: "sockets" | "tracker_links" | "pnd_links", read: () => number): void {
    this.#metrics.gauge(`open_${what}`, "Open sockets or device links of this node.", read);
  }
}
