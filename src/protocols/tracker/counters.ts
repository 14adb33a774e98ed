import type { Counter, ProtocolMetrics } from "../../observe/metrics.ts";
import type { LeaveReason } from "../../socketio/endpoint.ts";

/** What the tracker counts (T-6.13). Labels come from closed sets; no PIN, user or address is among them. */
export class Counters {
  readonly connects: Counter;
  /** Sockets put out because their token ended. */
  readonly expired: Counter;
  readonly #metrics: ProtocolMetrics;

  constructor(metrics: ProtocolMetrics) {
    this.#metrics = metrics;
    this.connects = metrics.counter("admitted_sockets", "Sockets admitted.");
    this.expired = metrics.counter("expired_sockets", "Sockets put out because their token ended.");
  }

  /** A refused socket, by the error type it was told, or `unavailable` when the check could not be made. */
  refused(type: string): void {
    this.#metrics.counter("refused_sockets", "Sockets refused, by reason.", { type }).value++;
  }

  closed(cause: LeaveReason): void {
    this.#metrics.counter("closed_sockets", "Admitted sockets that ended, by cause.", { cause }).value++;
  }

  throttled(kind: "join" | "events" | "rest"): void {
    this.#metrics.counter("throttles", "Requests refused for their rate, by kind.", { kind }).value++;
  }

  /** A socket that became a member of a room. */
  joined(by: "join_room" | "move" | "resume"): void {
    this.#metrics.counter("room_joins", "Sockets that became members of a room, by way.", { by }).value++;
  }
}
