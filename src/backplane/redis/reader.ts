import * as v from "valibot";
import type { Log } from "../../observe/log.ts";
import type { Client } from "./client.ts";
import { scripts } from "./scripts.ts";
import type { RedisTimes } from "./times.ts";

/** Entries of one stream in one answer; with frames of 256 KiB as a rule, 16 MiB of it. */
const entriesAtOnce = 64;
/** Milliseconds until a read that failed is tried again. */
const pauseAfterFailure = 100;

/**
 * Milliseconds from one read to the next when the stream is busy. Entries gather meanwhile, and one answer that brings
 * several of them costs little more than one that brings a single one.
 */
const gathering = 2;
const start = "0-0";

const Tail = v.tuple([v.number(), v.string()]);

/** Takes one entry: its field (the node that wrote it) and its value (a frame). */
export type EntryListener = (node: Buffer, frame: Buffer) => void;

/**
 * Follows a stream over a connection of its own, from the moment it was made. After a cut it reads on where it was; a
 * stream that began anew meanwhile (a store restarted empty, or a replica that was behind) is read from its start, and
 * what that repeats is for the listener to tell by its sequence.
 */
export class Reader {
  /** Resolves when the first position is known: from then on nothing is missed. */
  readonly ready: Promise<void>;
  readonly #client: Client;
  readonly #key: string;
  readonly #times: RedisTimes;
  readonly #log: Log;
  readonly #onEntry: EntryListener;
  readonly #madeAt = performance.now();
  #position: string | null = null;
  #lastRead = 0;
  #closed = false;

  constructor(
    client: Client,
    { key, times, log, onEntry }: { key: string; times: RedisTimes; log: Log; onEntry: EntryListener },
  ) {
    this.#client = client;
    this.#key = key;
    this.#times = times;
    this.#log = log;
    this.#onEntry = onEntry;
    this.ready = new Promise((resolve) => void this.#follow(resolve));
  }

  close(): void {
    this.#closed = true;
  }

  async #follow(ready: () => void): Promise<void> {
    let placed = false;
    while (!this.#closed) {
      try {
        if (!placed) this.#position = await this.#place();
        placed = true;
        ready();
        this.#position = await this.#read(this.#position!);
      } catch (error) {
        if (this.#closed) break;
        this.#log.debug({ err: error }, "reading from other nodes failed, trying again");
        placed = false;
        await Bun.sleep(pauseAfterFailure);
      }
    }
    ready();
  }

  /** Where to read on. */
  async #place(): Promise<string> {
    const [now, last] = v.parse(Tail, await this.#client.eval(scripts.streamTail.lua, 1, this.#key));
    if (this.#position === null) {
      // Counted back to when this reader was made: Redis may have been away until now, but not for the other nodes.
      const made = `${Math.floor(now - (performance.now() - this.#madeAt))}-0`;
      return isBefore(last, made) ? last : made;
    }
    if (!isBefore(last, this.#position)) return this.#position;
    // A stream that was merely trimmed empty ends here too, where starting over repeats nothing.
    if (last !== start) this.#log.warn({}, "a stream of the store began anew, messages may be missing");
    return start;
  }

  /** Reads what there is after a position and returns the position after it. */
  async #read(position: string): Promise<string> {
    const wait = this.#lastRead + gathering - performance.now();
    if (wait > 0) await Bun.sleep(wait);
    const block = ["BLOCK", this.#times.block] as const;
    const streams = await this.#client.xreadBuffer("COUNT", entriesAtOnce, ...block, "STREAMS", this.#key, position);
    this.#lastRead = performance.now();
    const entries = streams?.[0]?.[1] ?? [];
    for (const [, [node, frame]] of entries) {
      if (node !== undefined && frame !== undefined) this.#onEntry(node, frame);
    }
    return entries.at(-1)?.[0].toString("latin1") ?? position;
  }
}

/** Whether one stream id is smaller than another. */
function isBefore(id: string, other: string): boolean {
  const [time = 0, sequence = 0] = id.split("-").map(Number);
  const [otherTime = 0, otherSequence = 0] = other.split("-").map(Number);
  return time < otherTime || (time === otherTime && sequence < otherSequence);
}
