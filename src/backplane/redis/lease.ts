import * as v from "valibot";
import type { Log } from "../../observe/log.ts";
import { BackplaneUnavailable } from "../backplane.ts";
import type { Connection } from "./connection.ts";
import { scripts } from "./scripts.ts";
import type { RedisTimes } from "./times.ts";

/** What a renewal found. */
export interface Beat {
  /** False when the lease was gone: this node is new, the others gave it up, or the store lost its data. */
  readonly held: boolean;
  /** Announcements of ended connections that this node owes. */
  readonly owed: number;
  /** Nodes whose lease has ended. Empty while this node cannot be sure of it. */
  readonly ended: readonly string[];
}

const Renewal = v.tuple([v.number(), v.number(), v.array(v.string())]);

/** This node's sign of life. Leases are counted by the clock of the store, so the nodes' own clocks do not matter. */
export class Lease {
  readonly #connection: Connection;
  readonly #node: string;
  readonly #keys: readonly [leases: string, owed: string];
  readonly #times: RedisTimes;
  readonly #log: Log;
  readonly #listeners: ((beat: Beat) => void)[] = [];
  #timer: ReturnType<typeof setInterval> | null = null;
  #beating: Promise<void> | null = null;
  #lastBeat = Number.NEGATIVE_INFINITY;
  #steadySince = 0;
  #closed = false;

  constructor(
    connection: Connection,
    { node, base, times, log }: { node: string; base: string; times: RedisTimes; log: Log },
  ) {
    this.#connection = connection;
    this.#node = node;
    this.#keys = [`${base}leases`, `${base}lost:${node}`];
    this.#times = times;
    this.#log = log;
    connection.onUp(() => void this.beat());
  }

  /** Calls `listener` after each renewal. */
  onBeat(listener: (beat: Beat) => void): void {
    this.#listeners.push(listener);
  }

  start(): void {
    this.#timer = setInterval(() => void this.beat(), this.#times.heartbeat);
    this.#timer.unref();
  }

  /** Renews the lease now. Never rejects; a failure is made good by the next one. */
  beat(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#beating ??= this.#renew().finally(() => {
      this.#beating = null;
    });
    return this.#beating;
  }

  /** The nodes that hold a lease, this one included. */
  async nodes(): Promise<string[]> {
    const nodes = v.parse(v.array(v.string()), await this.#connection.eval(scripts.leaseNodes, [this.#keys[0]], []));
    return nodes.includes(this.#node) ? nodes : [...nodes, this.#node];
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#beating;
  }

  async #renew(): Promise<void> {
    try {
      const answer = await this.#connection.eval(scripts.leaseRenew, this.#keys, [this.#node, this.#times.lease]);
      if (this.#closed) return;
      const [held, owed, ended] = v.parse(Renewal, answer);
      const beat: Beat = { held: held === 1, owed, ended: this.#isSteady() ? ended : [] };
      for (const listener of this.#listeners) listener(beat);
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) this.#log.error({ err: error }, "lease renewal failed");
    }
  }

  /**
   * Whether this node has renewed without a break for one lease time. Whatever broke the row, a store that was away or
   * stood still, kept the other nodes from renewing too: they get as long to come back before anybody buries them.
   */
  #isSteady(): boolean {
    const now = performance.now();
    if (now - this.#lastBeat > this.#times.heartbeat * 2) this.#steadySince = now;
    this.#lastBeat = now;
    return now - this.#steadySince >= this.#times.lease;
  }
}
