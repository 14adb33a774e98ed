import type { Counter, ProtocolMetrics } from "../../observe/metrics.ts";
import type { Verdict } from "./moderation.ts";

/** What the chat counts beside what the raw channel does (C-6.9). Labels come from closed sets of the code. */
export class Counters {
  /** Messages handed to sockets of recipients. */
  readonly delivered: Counter;
  readonly #metrics: ProtocolMetrics;
  readonly #sends = new Map<string, Counter>();

  constructor(metrics: ProtocolMetrics) {
    this.#metrics = metrics;
    this.delivered = metrics.counter("chat_deliveries", "Messages handed to sockets of recipients.");
  }

  /** A handled `SendMessage`: `stored`, `repeated`, or why not. */
  sent(result: string): void {
    let counter = this.#sends.get(result);
    if (!counter) {
      counter = this.#metrics.counter("chat_sends", "Messages of clients, by result.", { result });
      this.#sends.set(result, counter);
    }
    counter.value++;
  }

  /** A socket that was not let in, by the error it was told. */
  refused(reason: string): void {
    this.#metrics.counter("chat_refused_sockets", "Sockets not let in, by reason.", { reason }).value++;
  }

  moderated(verdict: Verdict): void {
    this.#metrics.counter("chat_moderations", "Answers of the moderation hook.", { verdict }).value++;
  }

  throttled(kind: "send" | "rest"): void {
    this.#metrics.counter("throttles", "Requests refused for their rate, by kind.", { kind }).value++;
  }
}
