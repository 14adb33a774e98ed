import type { Counter, ProtocolMetrics } from "../../observe/metrics.ts";
import type { LeaveReason } from "../../socketio/endpoint.ts";

/** What this protocol counts; no series names a user, channel or socket (W-13.19). */
export class Counters {
  readonly authenticated: Counter;
  /** Sockets that outlived their session's tokens (W-2.13). */
  readonly expired: Counter;
  readonly #metrics: ProtocolMetrics;

  constructor(metrics: ProtocolMetrics) {
    this.#metrics = metrics;
    this.authenticated = metrics.counter("admitted_sockets", "Sockets admitted.");
    this.expired = metrics.counter("expired_sockets", "Sockets put out because their token ended.");
  }

  /** A socket turned away for its address, or a failed `auth`. */
  refused(type: "address" | "auth"): void {
    this.#metrics.counter("refused_sockets", "Sockets refused, by reason.", { type }).value++;
  }

  throttled(kind: "events" | "rest"): void {
    this.#metrics.counter("throttles", "Requests refused for their rate, by kind.", { kind }).value++;
  }

  closed(cause: LeaveReason): void {
    this.#metrics.counter("closed_sockets", "Admitted sockets that ended, by cause.", { cause }).value++;
  }
}
