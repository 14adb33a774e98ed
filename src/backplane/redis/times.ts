import { NODE_LEASE } from "../backplane.ts";
import { retryPause } from "../timer-handlers.ts";

/** How long things take; milliseconds of real time, because the store counts in real time too. */
export interface RedisTimes {
  /** A node that does not renew its lease for this long is dead to the others. */
  readonly lease: number;
  /** From one renewal to the next: three may fail before the lease is gone. */
  readonly heartbeat: number;
  /** After this long without an answer a command is given up. */
  readonly command: number;
  /** A blocking read comes back empty after this long, which proves that the connection lives. */
  readonly block: number;
  /** Longest pause between two attempts to connect; well below the lease, so that a node that returns keeps its own. */
  readonly reconnect: number;
  /** How long opening waits for the first connection before it goes on without. */
  readonly open: number;
  /** A node that fires a timer and does not say so for this long is taken for dead, and the timer fires again. */
  readonly claim: number;
  /** From a timer handler's failure to the next try. */
  readonly retry: number;
  /** Longest that closing takes: a store that stands still must not keep the process. */
  readonly close: number;
}

export const defaultTimes: RedisTimes = {
  lease: NODE_LEASE,
  heartbeat: 1_500,
  command: 2_000,
  block: 2_000,
  reconnect: 1_000,
  open: 3_000,
  claim: 15_000,
  retry: retryPause,
  close: 2_000,
};
