import type { Counter, Histogram, ProtocolMetrics } from "../observe/metrics.ts";

/** What is counted for one event name. */
export interface EventMeters {
  readonly received: Counter;
  /** Each receiver counts. */
  readonly sent: Counter;
  readonly handling: Histogram;
}

/** Close codes with a series of their own at most. */
const MAX_CODES = 64;

/** What is counted for one endpoint. */
export class Meters {
  readonly slowReaders: Counter;
  readonly limited: Counter;
  readonly faults: Counter;
  readonly broadcasting: Histogram;
  readonly #metrics: ProtocolMetrics;
  readonly #labels: Readonly<Record<string, string>>;
  readonly #events = new Map<string, EventMeters>();
  readonly #others: EventMeters;
  readonly #codes = new Set<number>();

  /** `size` reads the number of open sessions. */
  constructor(metrics: ProtocolMetrics, endpoint: string, size: () => number) {
    const labels = { endpoint };
    this.#metrics = metrics;
    this.#labels = labels;
    metrics.gauge("socketio_connections", "Open Engine.IO sessions.", size, labels);
    this.slowReaders = metrics.counter("socketio_slow_readers", "Sessions ended for not reading.", labels);
    this.limited = metrics.counter("socketio_events_limited", "Events dropped for their rate.", labels);
    this.faults = metrics.counter("socketio_handler_faults", "Handlers that threw or rejected.", labels);
    this.broadcasting = metrics.histogram(
      "socketio_broadcast_seconds",
      "Time a broadcast takes on this node until the last socket has it in its buffer.",
      labels,
    );
    this.#others = this.#make("other");
  }

  /** Gives an event name a series of its own. Only names from code: what a client invents counts as "other". */
  declare(event: string): EventMeters {
    const meters = this.#events.get(event) ?? this.#make(event);
    this.#events.set(event, meters);
    return meters;
  }

  of(event: string): EventMeters {
    return this.#events.get(event) ?? this.#others;
  }

  /** An event that began to be handled at `started` (`performance.now()`) is done. */
  handled(event: string, started: number): void {
    this.of(event).handling.observe((performance.now() - started) / 1000);
  }

  /** A broadcast, encoded as `text`, went to this many sockets of this node. */
  delivered(text: string, sockets: number, milliseconds: number): void {
    this.of(eventIn(text)).sent.value += sockets;
    this.broadcasting.observe(milliseconds / 1000);
  }

  refused(how: "event" | "error" | "close" | "namespace"): void {
    const labels = { ...this.#labels, how };
    this.#metrics.counter("socketio_refusals", "Connections to a namespace refused, by how they were told.", labels)
      .value++;
  }

  /** A handshake or request the engine turned away, by its code. */
  turnedAway(code: number): void {
    const labels = { ...this.#labels, code: String(code) };
    this.#metrics.counter("socketio_bad_requests", "Engine.IO requests refused, by error code.", labels).value++;
  }

  /** Counts an end. Codes a client made up are counted as "other", so that it cannot grow the set of labels. */
  closed(by: string, code: number | undefined): void {
    if (code !== undefined && by !== "client" && this.#codes.size < MAX_CODES) this.#codes.add(code);
    const label = code !== undefined && this.#codes.has(code) ? String(code) : "other";
    const labels = { ...this.#labels, by, code: label };
    this.#metrics.counter("socketio_closes", "Engine.IO sessions that ended, by close code.", labels).value++;
  }

  #make(event: string): EventMeters {
    const labels = { ...this.#labels, event };
    return {
      received: this.#metrics.counter("socketio_events_received", "Events from clients.", labels),
      sent: this.#metrics.counter("socketio_events_sent", "Events to clients, each receiver counted.", labels),
      handling: this.#metrics.histogram("socketio_handler_seconds", "Time an event takes to handle.", labels),
    };
  }
}

/** Name of the event in an encoded packet; a name with escapes in it comes out cut, and counts as "other". */
function eventIn(text: string): string {
  const start = text.indexOf('["') + 2;
  return text.slice(start, text.indexOf('"', start));
}
