import type { Log } from "../../observe/log.ts";
import type { Counter } from "../../observe/metrics.ts";
import { BackplaneUnavailable } from "../backplane.ts";
import type { Connection } from "./connection.ts";
import { encodeFrame, messageBytes, type Outgoing } from "./frame.ts";

/** Bytes of messages that wait while Redis is away or slow; past it the oldest are dropped. */
const queueLimit = 8 * 1024 * 1024;
/** A frame is closed when it has grown to this, so that no reader has to take in too much at once. */
const frameLimit = 256 * 1024;
/**
 * Milliseconds between two rounds. What is published after a pause leaves with the next turn of the event loop; under
 * load messages are gathered this long: at both ends an entry costs far more than one message more within it.
 */
const gathering = 4;
/** Milliseconds until a round that failed is tried again while the connection is up. */
const retryAfter = 250;
/**
 * Entries kept in a stream: a node writes at most 250 a second, so a reader that was away for ten seconds has missed
 * nothing with eight of them at their busiest. Trimmed by age as well, a quiet stream holds next to nothing.
 */
const streamLength = 20_000;

interface Frame {
  readonly key: string;
  readonly bytes: Buffer;
}

/**
 * What this node has to say to the others. One round of frames (at most one a partition) is under way at a time, and
 * the same frames are sent again until Redis has said that it has them: that keeps the order, and readers know a frame
 * they have seen by its sequence.
 */
export class Outbox {
  readonly #connection: Connection;
  readonly #node: string;
  readonly #partitions: readonly { readonly key: string; sequence: number }[];
  readonly #log: Log;
  readonly #droppedEver: Counter;
  readonly #onWritten: (bytes: number) => void;
  #queue: { readonly message: Outgoing; readonly partition: number; readonly bytes: number }[] = [];
  /** Where the queue starts; what is before it has left. */
  #head = 0;
  #bytes = 0;
  /** Messages dropped and not yet told of. */
  #dropped = 0;
  #round: Frame[] = [];
  #disarm: (() => void) | null = null;
  #sending = false;
  #lastRound = 0;
  #idle: (() => void)[] = [];

  /** `dropped` counts messages that are given up; `onWritten` is told of the bytes of each frame that Redis has. */
  constructor(
    connection: Connection,
    options: {
      node: string;
      keys: readonly string[];
      log: Log;
      dropped: Counter;
      onWritten: (bytes: number) => void;
    },
  ) {
    const { node, keys, log, dropped, onWritten } = options;
    this.#connection = connection;
    this.#node = node;
    this.#partitions = keys.map((key) => ({ key, sequence: 0 }));
    this.#log = log;
    this.#droppedEver = dropped;
    this.#onWritten = onWritten;
    connection.onUp(() => this.#arm());
  }

  push(message: Outgoing): void {
    const bytes = messageBytes(message);
    if (bytes > queueLimit) {
      this.#droppedEver.value++;
      this.#log.error({ bytes }, "message to other nodes is too large");
      return;
    }
    this.#queue.push({ message, partition: partitionOf(message.topic, this.#partitions.length), bytes });
    this.#bytes += bytes;
    while (this.#bytes > queueLimit) {
      this.#bytes -= this.#next()!.bytes;
      this.#dropped++;
      this.#droppedEver.value++;
    }
    this.#arm();
  }

  /** Resolves when nothing waits any more, or when Redis is away. */
  async flushed(): Promise<void> {
    if (this.#connection.up && (this.#sending || this.#bytes > 0 || this.#round.length > 0)) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  close(): void {
    this.#disarm?.();
    this.#queue = [];
    this.#bytes = 0;
    this.#round = [];
  }

  #next() {
    const item = this.#queue[this.#head];
    if (item === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#queue.length || this.#head > 4_096) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  #arm(pause = 0): void {
    if (this.#disarm !== null || this.#sending || !this.#connection.up) return;
    const wait = Math.max(pause, this.#lastRound + gathering - performance.now());
    if (wait > 0) {
      const timer = setTimeout(() => void this.#send(), wait);
      this.#disarm = () => clearTimeout(timer);
    } else {
      // setTimeout knows no less than a millisecond.
      const turn = setImmediate(() => void this.#send());
      this.#disarm = () => clearImmediate(turn);
    }
  }

  async #send(): Promise<void> {
    this.#disarm = null;
    this.#sending = true;
    this.#lastRound = performance.now();
    if (this.#round.length === 0) this.#round = this.#fill();
    const failed = await this.#append(this.#round);
    const stuck = failed.length > 0;
    this.#round = failed;
    this.#sending = false;
    if (stuck || this.#bytes > 0) this.#arm(stuck ? retryAfter : 0);
    if (!this.#connection.up || this.#bytes + failed.length === 0) for (const done of this.#idle.splice(0)) done();
  }

  /** Takes from the queue what fits into one frame a partition. */
  #fill(): Frame[] {
    if (this.#dropped > 0) this.#log.warn({ messages: this.#dropped }, "messages to other nodes were dropped");
    this.#dropped = 0;
    const batches = this.#partitions.map(() => ({ messages: [] as Outgoing[], bytes: 0 }));
    for (;;) {
      const item = this.#queue[this.#head];
      if (item === undefined) break;
      const batch = batches[item.partition]!;
      if (batch.bytes > 0 && batch.bytes + item.bytes > frameLimit) break;
      batch.messages.push(item.message);
      batch.bytes += item.bytes;
      this.#bytes -= item.bytes;
      this.#next();
    }
    return batches.flatMap(({ messages }, index) => {
      if (messages.length === 0) return [];
      const partition = this.#partitions[index]!;
      return [{ key: partition.key, bytes: encodeFrame(++partition.sequence, messages) }];
    });
  }

  /** Appends frames to their streams; those that failed, or may have, are returned. */
  async #append(frames: readonly Frame[]): Promise<Frame[]> {
    const results = await Promise.allSettled(
      frames.map(({ key, bytes }) =>
        this.#connection.run((client) => client.xadd(key, "MAXLEN", "~", streamLength, "*", this.#node, bytes)),
      ),
    );
    return frames.filter(({ bytes }, index) => {
      const result = results[index]!;
      if (result.status === "fulfilled") {
        this.#onWritten(bytes.length);
        return false;
      }
      if (!(result.reason instanceof BackplaneUnavailable)) {
        this.#log.error({ err: result.reason }, "redis refuses messages to other nodes, trying again");
      }
      return true;
    });
  }
}

/** The partition of a topic: FNV-1a, the same in every version of this program. */
export function partitionOf(topic: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < topic.length; index++) {
    hash = Math.imul(hash ^ topic.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % partitions;
}
