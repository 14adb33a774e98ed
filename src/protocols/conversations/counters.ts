import type { Counter, ProtocolMetrics } from "../../observe/metrics.ts";
import type { LeaveReason } from "../../socketio/endpoint.ts";

/** What conversations count (V-10.5). Labels come from closed sets; no user or room is among them. */
export class Counters {
  readonly admitted: Counter;
  readonly messages: Counter;
  readonly duplicates: Counter;
  readonly relayed: Counter;
  readonly auctionResults: Counter;
  /** Auction results that could not be read. */
  readonly unreadable: Counter;
  readonly #metrics: ProtocolMetrics;
  /** Looked up once each, since events are many. */
  readonly #events = new Map<string, Counter>();

  constructor(metrics: ProtocolMetrics) {
    this.#metrics = metrics;
    this.admitted = metrics.counter("admitted_sockets", "Sockets admitted.");
    this.messages = metrics.counter("messages_stored", "Messages stored.");
    this.duplicates = metrics.counter("messages_repeated", "Messages that had been stored before.");
    this.relayed = metrics.counter("events_relayed", "Domain events that Kafka has confirmed.");
    this.auctionResults = metrics.counter("auction_results", "Auction results handed to sockets.");
    this.unreadable = metrics.counter("auction_results_skipped", "Auction results that could not be read.");
  }

  /** A refused socket, by what it was refused for. */
  refused(reason: string): void {
    this.#metrics.counter("refused_sockets", "Sockets refused, by reason.", { type: reason }).value++;
  }

  /** Domain events that Kafka does not have yet. */
  backlog(read: () => number): void {
    this.#metrics.gauge("outbox_backlog", "Domain events that wait to be relayed.", read);
  }

  closed(cause: LeaveReason): void {
    this.#metrics.counter("closed_sockets", "Admitted sockets that ended, by cause.", { cause }).value++;
  }

  /** A handled event of a socket: `ok`, or the code of its fault. */
  event(name: string, result: string): void {
    const key = `${name} ${result}`;
    let counter = this.#events.get(key);
    if (!counter) {
      const labels = { event: name, result };
      counter = this.#metrics.counter("events_handled", "Events of sockets, by name and result.", labels);
      this.#events.set(key, counter);
    }
    counter.value++;
  }
}
