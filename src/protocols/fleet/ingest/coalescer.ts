import type { Cancel, Clock } from "../../../clock.ts";
import type { Fanout } from "../fanout.ts";
import { recordsFrame } from "../frames.ts";
import type { Committed, Stored } from "./store.ts";

/** Frames of a unit that wait for more reports. */
interface Waiting {
  readonly from: number;
  to: number;
  total: number;
  /** Time and JSON of the newest record. */
  newest: { readonly tmx: number; readonly body: string };
  readonly events: string[];
  readonly cancel: Cancel;
}

/** Sends what was committed to its watchers; with a time to wait, HTTP reports of a unit make one `records` frame. */
export class Coalescer {
  readonly #fanout: Fanout;
  readonly #clock: Clock;
  readonly #wait: number;
  readonly #waiting = new Map<number, Waiting>();

  constructor({ fanout, clock }: { fanout: Fanout; clock: Clock }, wait: number) {
    this.#fanout = fanout;
    this.#clock = clock;
    this.#wait = wait;
  }

  /** Takes what was stored of one unit in one commit. */
  send(uid: number, version: number, stored: readonly Stored[]): void {
    const mayWait = this.#wait > 0 && stored.every(({ report, committed }) => report.http && committed.entries.newest);
    if (!mayWait) {
      this.#flush(uid);
      const frames = stored.flatMap(({ committed }) => committed.frames);
      this.#fanout.toUnit(uid, { from: version, to: version, frames });
      return;
    }
    const waiting = this.#joining(uid, version) ?? this.#begin(uid, version);
    waiting.to = version;
    for (const { committed } of stored) join(waiting, committed);
  }

  /** Sends what waits, before the node stops. */
  flushAll(): void {
    for (const uid of [...this.#waiting.keys()]) this.#flush(uid);
  }

  /** What waits of the unit, unless another node has something to tell between that and this version. */
  #joining(uid: number, version: number): Waiting | undefined {
    const waiting = this.#waiting.get(uid);
    if (waiting && version > waiting.to + 1) this.#flush(uid);
    return this.#waiting.get(uid);
  }

  #begin(uid: number, version: number): Waiting {
    const cancel = this.#clock.after(this.#wait, () => this.#flush(uid));
    const newest = { tmx: Number.NEGATIVE_INFINITY, body: "" };
    const waiting: Waiting = { from: version, to: version, total: 0, newest, events: [], cancel };
    this.#waiting.set(uid, waiting);
    return waiting;
  }

  #flush(uid: number): void {
    const waiting = this.#waiting.get(uid);
    if (!waiting) return;
    this.#waiting.delete(uid);
    waiting.cancel();
    const { from, to, total, newest, events } = waiting;
    this.#fanout.toUnit(uid, { from, to, frames: [recordsFrame(uid, total, newest.body), ...events] });
  }
}

/** Every one of these reports has a newest record, whose frame is the first. */
function join(waiting: Waiting, { entries, frames }: Committed): void {
  const tmx = Math.max(...entries.records.map((record) => record.tmx));
  waiting.total += entries.records.length;
  if (tmx >= waiting.newest.tmx) waiting.newest = { tmx, body: entries.newest! };
  waiting.events.push(...frames.slice(1));
}
