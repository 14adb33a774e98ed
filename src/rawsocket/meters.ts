import type { Counter, Histogram, ProtocolMetrics } from "../observe/metrics.ts";
import type { ChannelEnd } from "./endpoint.ts";

/** Close codes with a series of their own at most; protocols use a dozen. */
const MAX_CODES = 64;
/** Codes of RFC 6455 (7.4.1) and its registry that a socket may end with, whoever closed it. */
const STANDARD_CODES = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];

/** What is counted for one endpoint. */
export class Meters {
  readonly received: Counter;
  readonly sent: Counter;
  readonly slowReaders: Counter;
  readonly handling: Histogram;
  readonly #codes = new Set(STANDARD_CODES);
  readonly #closes: (code: string, by: string) => Counter;

  /** `size` reads the number of open channels, `declared` are the close codes the endpoint names. */
  constructor(metrics: ProtocolMetrics, endpoint: string, size: () => number, declared: Iterable<number>) {
    const labels = { endpoint };
    metrics.gauge("rawsocket_connections", "Open raw WebSockets.", size, labels);
    this.received = metrics.counter("rawsocket_frames_received", "Frames from clients.", labels);
    this.sent = metrics.counter("rawsocket_frames_sent", "Frames to clients, each receiver counted.", labels);
    this.slowReaders = metrics.counter("rawsocket_slow_readers", "Channels ended for not reading.", labels);
    this.handling = metrics.histogram("rawsocket_handler_seconds", "Time a frame takes to handle.", labels);
    this.#closes = (code, by) =>
      metrics.counter("rawsocket_closes", "Channels that ended, by close code.", { ...labels, code, by });
    for (const code of declared) this.#codes.add(code);
  }

  /** Counts an end. Codes a client made up are counted as "other", so that it can not grow the set of labels. */
  closed(end: ChannelEnd): void {
    if (end.by === "server" && this.#codes.size < MAX_CODES) this.#codes.add(end.code);
    this.#closes(this.#codes.has(end.code) ? String(end.code) : "other", end.by).value++;
  }
}
