import { type ClientCost, watchClient } from "../client/watch.ts";
import { percentile, Samples } from "../statistics.ts";
import { machineCpu } from "../usage.ts";
import type { FleetServer } from "./server.ts";
import { type Seen, Tracker, Watcher } from "./sockets.ts";
import { Way } from "./way.ts";

const UNITS = 1_000;
const WATCHERS = 50;
const UNITS_OF_A_WATCHER = 200;
/** Milliseconds between two turns of sending. */
const TURN = 5;
/** Watchers whose frames are read. */
const READ = 2;
/** Milliseconds without a frame after which those that are under way are given up. */
const STALLED_AFTER = 30_000;

/** What a step of load came to. */
export interface StepResult {
  /** Records a second that were acknowledged. */
  readonly rate: number;
  /** Milliseconds from sending a record until a watcher has it. */
  readonly p50: number;
  readonly p99: number;
  /** Microseconds of the gateway's CPU for each record. */
  readonly cpu: number;
  readonly client: ClientCost;
  /** What Postgres and the rest of the machine used of a core, in percent. */
  readonly others: number;
}

/** A thousand vehicles on their links and fifty watchers, against one gateway. */
export class FleetLoad {
  readonly #server: FleetServer;
  /** Records in each frame of a tracker. */
  readonly #buffered: number;
  readonly #trackers: Tracker[] = [];
  readonly #watchers: Watcher[] = [];
  readonly #ways = Array.from({ length: UNITS }, (_, number) => new Way(number));
  readonly #latencies = new Samples();
  readonly #seen: Seen = { acknowledged: 0, frames: 0, faults: [] };
  #sent = 0;
  #records = 0;

  constructor(server: FleetServer, buffered: number) {
    this.#server = server;
    this.#buffered = buffered;
  }

  /** Connects everybody. */
  async open(): Promise<void> {
    const uids = await this.#server.units(UNITS);
    const { port } = this.#server;
    for (let number = 0; number < WATCHERS; number++) {
      const first = (number * UNITS_OF_A_WATCHER) % UNITS;
      const login = await this.#server.watcher(number, uids.slice(first, first + UNITS_OF_A_WATCHER));
      const watcher = new Watcher(port, login, this.#seen, number < READ ? this.#latencies : null);
      await watcher.open();
      this.#watchers.push(watcher);
    }
    for (let unit = 1; unit <= UNITS; unit++) {
      const tracker = new Tracker(port, `load-${unit}`, this.#seen);
      await tracker.open();
      this.#trackers.push(tracker);
    }
  }

  /** Sends records at a rate, spread over all vehicles, for some seconds. */
  async step(rate: number, seconds: number): Promise<StepResult> {
    await this.#settled();
    this.#latencies.clear();
    const [sent, acknowledged] = [this.#sent, this.#seen.acknowledged];
    const [gatewayBefore, machineBefore] = [this.#server.usage().cpu, machineCpu()];
    const watched = watchClient();
    const started = performance.now();
    for (let due = started; performance.now() - started < seconds * 1000; due += TURN) {
      const wanted = (((performance.now() - started) / 1000) * rate) / this.#buffered;
      while (this.#sent - sent < wanted) this.#report();
      await Bun.sleep(Math.max(0, due + TURN - performance.now()));
    }
    const elapsed = (performance.now() - started) / 1000;
    const done = (this.#seen.acknowledged - acknowledged) * this.#buffered;
    const cpu = this.#server.usage().cpu - gatewayBefore;
    const client = watched();
    const others = machineCpu() - machineBefore - cpu - client.cpu;
    await this.#settled();
    const sorted = this.#latencies.sorted();
    return {
      ...{ rate: done / elapsed, cpu: (cpu / done) * 1e6, client, others: (others / elapsed) * 100 },
      ...{ p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#trackers, ...this.#watchers].map((socket) => socket.close()));
  }

  /** Resolves when nothing is under way. Throws when something was not as it should be. */
  async #settled(): Promise<void> {
    const { faults } = this.#seen;
    let [quiet, seen] = [performance.now(), this.#seen.acknowledged];
    while (this.#seen.acknowledged < this.#sent && faults.length === 0) {
      if (this.#seen.acknowledged > seen) [quiet, seen] = [performance.now(), this.#seen.acknowledged];
      if (performance.now() - quiet > STALLED_AFTER) faults.push(`${this.#sent - seen} frames were never acknowledged`);
      await Bun.sleep(10);
    }
    if (faults.length > 0) throw new Error(faults.slice(0, 5).join("; "));
  }

  /** One vehicle's turn: it has driven a second for each of its records. */
  #report(): void {
    const unit = this.#sent++ % UNITS;
    const tmx = new Date().toISOString();
    const records = Array.from({ length: this.#buffered }, () => this.#ways[unit]!.next(tmx, this.#records++));
    this.#trackers[unit]!.report(this.#sent, records);
  }
}
