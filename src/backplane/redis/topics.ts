import type { Log } from "../../observe/log.ts";
import type { Counter, ProtocolMetrics } from "../../observe/metrics.ts";
import type { TopicListener, Topics } from "../backplane.ts";
import { TopicListeners } from "../listeners.ts";
import type { Connection } from "./connection.ts";
import { frameSequence, readFrame } from "./frame.ts";
import type { Lease } from "./lease.ts";
import { Outbox } from "./outbox.ts";
import { Reader } from "./reader.ts";
import { scripts } from "./scripts.ts";
import type { RedisTimes } from "./times.ts";

/** Streams the topics of a cluster are spread over, as each may live on another server. Elsewhere one does the same work. */
const clusterPartitions = 4;
/** Milliseconds a message stays readable for a node that was cut off, where the length of the stream allows it. */
const retention = 30_000;
/** Milliseconds until a stream that no node looks after is gone. */
const abandoned = 600_000;
const trimEvery = 10_000;
/** Bytes of a stream; past it the oldest entries go, whatever their age. */
const streamBytes = 256 * 1024 * 1024;
/** Bytes this node writes until it looks at a stream's size, sooner than `trimEvery` has it. */
const trimAfter = 16 * 1024 * 1024;
/** Nodes remembered per partition. Those that stopped are forgotten first. */
const rememberedNodes = 1_000;

/** Topics on Redis streams. */
export class RedisTopics implements Topics {
  readonly #connection: Connection;
  readonly #node: string;
  readonly #nodeBytes: Buffer;
  readonly #lease: Lease;
  readonly #log: Log;
  readonly #keys: readonly string[];
  readonly #listeners: TopicListeners;
  readonly #outbox: Outbox;
  readonly #readers: readonly Reader[];
  /** The last frame of each node, by partition. */
  readonly #seen: readonly Map<string, number>[];
  readonly #missed: Counter;
  readonly #trimmer: ReturnType<typeof setInterval>;
  /** Bytes written since the last look at the size of the streams. */
  #written = 0;

  constructor(
    connection: Connection,
    options: {
      node: string;
      keyPrefix: string;
      times: RedisTimes;
      lease: Lease;
      log: Log;
      metrics: ProtocolMetrics;
    },
  ) {
    const { node, keyPrefix, times, lease, log, metrics } = options;
    this.#connection = connection;
    this.#node = node;
    this.#nodeBytes = Buffer.from(node);
    this.#lease = lease;
    this.#log = log;
    const partitions = connection.clustered ? clusterPartitions : 1;
    this.#keys = Array.from({ length: partitions }, (_, index) => `${keyPrefix}topics:${index}`);
    this.#seen = this.#keys.map(() => new Map());
    this.#listeners = new TopicListeners(log);
    this.#missed = metrics.counter(
      "missed_node_frames",
      "Bundles of messages of other nodes that were gone before this node could read them.",
    );
    const onWritten = (bytes: number) => {
      this.#written += bytes;
      if (this.#written > trimAfter) void this.#trim();
    };
    const dropped = metrics.counter(
      "dropped_node_messages",
      "Messages to other nodes dropped: too large, or too many while Redis was away or slow.",
    );
    this.#outbox = new Outbox(connection, { node, keys: this.#keys, log, dropped, onWritten });
    this.#readers = this.#keys.map((key, partition) => {
      const onEntry = (from: Buffer, frame: Buffer) => this.#receive(partition, from, frame);
      return new Reader(connection.openReader(), { key, times, log, onEntry });
    });
    this.#trimmer = setInterval(() => void this.#trim(), trimEvery);
    this.#trimmer.unref();
  }

  /** Resolves when everything published from then on by other nodes will be received. */
  async ready(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.ready));
  }

  publish(topic: string, message: string | Uint8Array): void {
    this.#outbox.push({ topic, to: null, message });
  }

  subscribe(topic: string, listener: TopicListener): () => void {
    return this.#listeners.add(topic, listener);
  }

  send(node: string, topic: string, message: string | Uint8Array): void {
    if (node === this.#node) queueMicrotask(() => this.#listeners.deliver(topic, message, node));
    // Any other text cannot be the name of a node, so there is nobody to send it to.
    else if (/^[\w-]{1,64}$/.test(node)) this.#outbox.push({ topic, to: node, message });
  }

  nodes(): Promise<string[]> {
    return this.#lease.nodes();
  }

  /** Says what is still to be said, then stops. */
  async close(): Promise<void> {
    clearInterval(this.#trimmer);
    await this.#outbox.flushed();
    this.#outbox.close();
    for (const reader of this.#readers) reader.close();
  }

  #receive(partition: number, nodeBytes: Buffer, frame: Buffer): void {
    if (nodeBytes.equals(this.#nodeBytes)) return;
    const from = nodeBytes.toString("latin1");
    try {
      const sequence = frameSequence(frame);
      if (sequence === null || !this.#isNew(partition, from, sequence)) return;
      readFrame(frame, this.#node, {
        wants: (topic) => this.#listeners.has(topic),
        message: (topic, message) => this.#listeners.deliver(topic, message, from),
      });
    } catch (error) {
      this.#log.error({ err: error, from }, "unreadable messages from another node");
    }
  }

  /** False for a frame that was sent twice, because its sender did not hear that the first had arrived. */
  #isNew(partition: number, from: string, sequence: number): boolean {
    const seen = this.#seen[partition]!;
    const last = seen.get(from);
    if (last !== undefined && sequence <= last) return false;
    if (last !== undefined && sequence > last + 1) {
      const frames = sequence - last - 1;
      this.#missed.value += frames;
      this.#log.warn({ from, frames }, "messages of another node were lost");
    }
    // Removed first, so that the map stays in the order of the last sign of each node.
    seen.delete(from);
    seen.set(from, sequence);
    if (seen.size > rememberedNodes) seen.delete(seen.keys().next().value!);
    return true;
  }

  async #trim(): Promise<void> {
    this.#written = 0;
    for (const key of this.#keys) {
      try {
        await this.#connection.eval(scripts.streamTrim, [key], [retention, abandoned, streamBytes]);
      } catch (error) {
        this.#log.debug({ err: error }, "trimming a stream failed");
      }
    }
  }
}
