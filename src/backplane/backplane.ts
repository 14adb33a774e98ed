/**
 * What the nodes of one installation share. `memory.ts` serves a node that stands alone, `redis.ts` any number of them;
 * both pass the same suite. All times are milliseconds.
 *
 * Every call that needs the store rejects with {@link BackplaneUnavailable} while it is away, unless it says otherwise.
 */
export interface Backplane {
  /** Unique for this run of this process. */
  readonly node: string;
  /** False while the store cannot be reached. */
  readonly up: boolean;
  readonly topics: Topics;
  readonly records: Records;
  readonly presence: Presence;
  readonly tallies: Tallies;
  readonly timers: Timers;
  /** Rejects when the store does not answer. */
  ping(): Promise<void>;
  /** Gives up this node's lease and presence at once, then closes every connection. */
  close(): Promise<void>;
}

/** A node that has been silent for so many milliseconds is dead to the others, whatever a protocol would like. */
export const NODE_LEASE = 5_000;

/** The shared store cannot be reached. Nothing was changed as far as this node can know. */
export class BackplaneUnavailable extends Error {
  override readonly name = "BackplaneUnavailable";

  /** By name: under `bun --hot` this class is made anew while the backplane that throws it lives on. */
  static override [Symbol.hasInstance](value: unknown): value is BackplaneUnavailable {
    return value instanceof Error && value.name === "BackplaneUnavailable";
  }
}

/** A message of another node. */
export type TopicListener = (message: string | Uint8Array, from: string) => void;

/** Messages from node to node. */
export interface Topics {
  /**
   * Sends a message to every *other* node that listens to `topic`. Messages of one node on one topic arrive in the order
   * of their publication, each at most once. Never rejects: while the store is away messages wait in a bounded queue
   * (oldest dropped and counted), and a node that was cut off reads on from where it was.
   */
  publish(topic: string, message: string | Uint8Array): void;
  /** Listens until the returned function is called. A listener that throws is logged and kept. */
  subscribe(topic: string, listener: TopicListener): () => void;
  /** Sends to one node only (its `Backplane.node`); same order and same promise as `publish`. */
  send(node: string, topic: string, message: string | Uint8Array): void;
  /** The nodes that hold a living lease, this one included. */
  nodes(): Promise<string[]>;
}

/** Small records (text fields under a key) that end by themselves. The name of a field is any text but the empty one. */
export interface Records {
  /** Makes the record if the key is free; false if it is taken. Atomic over all nodes. */
  create(key: string, fields: Record<string, string>, ttl: number): Promise<boolean>;
  /**
   * Sets fields (null removes one) of a living record without touching its life; false if the record is gone, or if
   * one of the `expect` fields has another value. Atomic.
   */
  update(key: string, fields: Record<string, string | null>, expect?: Record<string, string>): Promise<boolean>;
  /** Makes or replaces the whole record. */
  put(key: string, fields: Record<string, string>, ttl: number): Promise<void>;
  /** All fields, or null when there is no living record. */
  read(key: string): Promise<Record<string, string> | null>;
  /** Reads and removes in one step; of several callers exactly one gets the record. */
  take(key: string): Promise<Record<string, string> | null>;
  /** True if there was one. */
  remove(key: string): Promise<boolean>;
}

/** One connection of a member of a presence set. */
export interface Present {
  readonly member: string;
  /** Unique among the connections of the member, for example a socket id. */
  readonly connection: string;
  readonly node: string;
  readonly data: string;
}

/** Who is here, counted by connection, over all nodes. A connection lives as long as its node renews its lease. */
export interface Presence {
  /**
   * Adds a connection of `member` to `set`, or replaces its data. `count` is the number of the member's connections
   * afterwards, `first` is true when it had none before. With `limit`, a connection that would exceed it is not added:
   * `admitted` is then false. While the store is away the answer covers this node alone, and the store is brought up to
   * date when it returns.
   */
  join(
    set: string,
    member: string,
    connection: string,
    options?: { data?: string; limit?: number },
  ): Promise<{ admitted: boolean; first: boolean; count: number }>;
  /**
   * Removes a connection of this node; `last` is true when that was the member's last one (false when there was nothing
   * to remove). Same rule while the store is away.
   */
  leave(set: string, member: string, connection: string): Promise<{ last: boolean; count: number }>;
  /** All living connections of a set, or of one member of it. */
  list(set: string, member?: string): Promise<Present[]>;
  /** Those of the given members who have a connection in the set, in one round trip to the store. */
  among(set: string, members: Iterable<string>): Promise<Set<string>>;
  /**
   * Called on exactly one living node for each connection that ended with its node, at most two lease times after the
   * node died. `last` is true when the member has none left.
   */
  onLost(listener: (set: string, lost: Present, last: boolean) => void): () => void;
  /**
   * Called on the node that owns a connection when the connection had to be added again: the others had given it up
   * (`onLost`) because the node was held up or cut off for longer than its lease, the store had lost its data, or the
   * connection joined while the store was away.
   * `first` is true when the member had no other connection, so whoever was told that it left needs to hear otherwise.
   */
  onRestored(listener: (set: string, restored: Present, first: boolean) => void): () => void;
}

/** Counting for limits. While the store is away these count on this node alone instead of rejecting. */
export interface Tallies {
  /** Token bucket of `burst` tokens refilled at `rate` per second. `wait` is the time until `cost` tokens are there. */
  take(
    key: string,
    bucket: { rate: number; burst: number },
    cost?: number,
  ): Promise<{ allowed: boolean; wait: number }>;
  /** Adds `by` (0 reads) to a counter whose window starts with its first count. `left` is the rest of the window. */
  count(key: string, window: number, by?: number): Promise<{ count: number; left: number }>;
  /**
   * Holds one of at most `limit` places under `key` for `ttl`; false when all are taken. Holding a held item again
   * renews it.
   */
  hold(key: string, item: string, limit: number, ttl: number): Promise<boolean>;
  release(key: string, item: string): Promise<void>;
}

/** Timers that outlive the process that set them (with Redis) and fire once, on one node. */
export interface Timers {
  /** Sets or moves the timer `id` of `kind` to fire at the epoch time `at`. */
  set(kind: string, id: string, at: number, payload: string): Promise<void>;
  /** False if it had fired or never was. */
  cancel(kind: string, id: string): Promise<boolean>;
  /** Those of the given timers that are still to fire, in one round trip to the store; not one that is firing. */
  pending(kind: string, ids: Iterable<string>): Promise<Set<string>>;
  /**
   * Fires due timers of `kind` on this node: one handler at a time per timer, tried again after a pause when it rejects.
   * Only nodes with a handler for the kind fire it.
   */
  handle(kind: string, handler: (id: string, payload: string) => Promise<void>): () => void;
}
