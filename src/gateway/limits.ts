import type { Clock } from "../clock.ts";
import type { GatewaySettings } from "../config/gateway.ts";

/** Descriptors kept free for the listeners, Postgres, Redis, the embedded database and the log. */
const RESERVED_DESCRIPTORS = 128;

/** Why a new socket is turned away. */
export type Refusal = "node full" | "address full" | "accepting too fast";

/**
 * Who may still come in: sockets of this node, sockets of one address, and new sockets a second. Sockets are counted
 * where they open and close, so that a refused one costs nothing.
 */
export class ConnectionLimits {
  readonly maxConnections: number;
  readonly #perAddress: number;
  readonly #acceptRate: number;
  readonly #clock: Clock;
  readonly #addresses = new Map<string, number>();
  #open = 0;
  #tokens: number;
  #refilled: number;

  constructor(
    settings: Pick<GatewaySettings, "maxConnections" | "maxConnectionsPerAddress" | "acceptRate">,
    descriptors: number | null,
    clock: Clock,
  ) {
    const room = descriptors === null ? Number.POSITIVE_INFINITY : Math.max(1, descriptors - RESERVED_DESCRIPTORS);
    this.maxConnections = Math.min(settings.maxConnections, room);
    this.#perAddress = settings.maxConnectionsPerAddress;
    this.#acceptRate = settings.acceptRate;
    this.#clock = clock;
    this.#tokens = settings.acceptRate;
    this.#refilled = clock.elapsed();
  }

  /** Sockets that are open now. */
  get open(): number {
    return this.#open;
  }

  /** Decides about a new socket; null lets it in (and takes one from the accept rate). */
  refuse(address: string): Refusal | null {
    if (this.#open >= this.maxConnections) return "node full";
    if (this.#perAddress > 0 && (this.#addresses.get(address) ?? 0) >= this.#perAddress) return "address full";
    if (this.#acceptRate === 0) return null;
    const now = this.#clock.elapsed();
    this.#tokens = Math.min(this.#acceptRate, this.#tokens + ((now - this.#refilled) / 1000) * this.#acceptRate);
    this.#refilled = now;
    if (this.#tokens < 1) return "accepting too fast";
    this.#tokens -= 1;
    return null;
  }

  opened(address: string): void {
    this.#open++;
    this.#addresses.set(address, (this.#addresses.get(address) ?? 0) + 1);
  }

  closed(address: string): void {
    this.#open--;
    const left = (this.#addresses.get(address) ?? 1) - 1;
    if (left === 0) this.#addresses.delete(address);
    else this.#addresses.set(address, left);
  }
}
