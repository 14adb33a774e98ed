import type { Clock } from "../clock.ts";
import type { Log } from "../observe/log.ts";
import type { Backplane } from "./backplane.ts";
import { MemoryPresence } from "./memory/presence.ts";
import { MemoryRecords } from "./memory/records.ts";
import { MemoryTallies } from "./memory/tallies.ts";
import { MemoryTimers } from "./memory/timers.ts";
import { MemoryTopics } from "./memory/topics.ts";

/** The backplane of a node that stands alone: always up, all of it ends with the process. */
export class MemoryBackplane implements Backplane {
  readonly node: string;
  readonly up = true;
  readonly topics: MemoryTopics;
  readonly records: MemoryRecords;
  readonly presence: MemoryPresence;
  readonly tallies: MemoryTallies;
  readonly timers: MemoryTimers;

  constructor(node: string, { clock, log }: { clock: Clock; log: Log }) {
    this.node = node;
    this.topics = new MemoryTopics(node, log);
    this.records = new MemoryRecords(clock);
    this.presence = new MemoryPresence(node);
    this.tallies = new MemoryTallies(clock);
    this.timers = new MemoryTimers(clock, log);
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    await this.timers.close();
    this.presence.clear();
  }
}
