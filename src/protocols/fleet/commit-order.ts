import type { Cancel, Clock } from "../../clock.ts";

/** All that one commit, or several in a row, have to tell of a unit. */
export interface Told {
  /** Versions of the unit, the first and the last of them. */
  readonly from: number;
  readonly to: number;
  /** Empty when nobody is to be told; the versions are over all the same. */
  readonly frames: readonly string[];
}

/** What came before something between, and until when it waits for that (as `clock.elapsed()` counts). */
interface Held extends Told {
  readonly until: number;
}

interface Progress {
  /** The last version that was told; null when it is not known, and the next that comes will do. */
  last: number | null;
  /** The store is being asked for it. */
  asking: boolean;
  /** Later ones, in order. */
  held: Held[];
  cancel: Cancel | undefined;
}

/**
 * Tells of each unit in the order of its commits (F-5.2), whichever nodes they were made on and however long their words
 * were on the way. What misses one before it waits; after a time that one is given up, for its node may have died between
 * commit and word, and should it still come nobody is told: what was missed stands in the history (F-6.7).
 */
export class CommitOrder {
  readonly #clock: Clock;
  readonly #patience: number;
  readonly #deliver: (uid: number, frames: readonly string[]) => void;
  /** Of every unit that anybody here has watched. */
  readonly #units = new Map<number, Progress>();

  /** `patience`: milliseconds until what is missing is given up. */
  constructor(clock: Clock, patience: number, deliver: (uid: number, frames: readonly string[]) => void) {
    this.#clock = clock;
    this.#patience = patience;
    this.#deliver = deliver;
  }

  /**
   * Has units told of from now on; until then nobody here is interested. `read` asks the store for their versions, since
   * the first word that is heard of a unit need not be the next. While the store is away, it is taken for that.
   */
  async follow(uids: Iterable<number>, read: (uids: readonly number[]) => Promise<ReadonlyMap<number, number>>) {
    const fresh = [...uids].filter((uid) => !this.#units.has(uid));
    if (fresh.length === 0) return;
    for (const uid of fresh) this.#units.set(uid, { last: null, asking: true, held: [], cancel: undefined });
    const versions = await read(fresh).catch(() => new Map<number, number>());
    for (const uid of fresh) {
      const unit = this.#units.get(uid)!;
      unit.asking = false;
      unit.last = versions.get(uid) ?? null;
      this.#release(uid, unit);
    }
  }

  take(uid: number, told: Told): void {
    const unit = this.#units.get(uid);
    if (!unit) return;
    const place = unit.held.findLastIndex(({ from }) => from <= told.from) + 1;
    unit.held.splice(place, 0, { ...told, until: this.#clock.elapsed() + this.#patience });
    if (!unit.asking) this.#release(uid, unit);
  }

  /** The version that was told last; 0 when none was. */
  told(uid: number): number {
    return this.#units.get(uid)?.last ?? 0;
  }

  /** Tells what need not wait: all up to the last whose time is over, and what follows without a gap. */
  #release(uid: number, unit: Progress): void {
    const { held } = unit;
    const now = this.#clock.elapsed();
    const over = held.findLast(({ until }) => until <= now)?.from ?? Number.NEGATIVE_INFINITY;
    const isDue = ({ from }: Held) => unit.last === null || from <= unit.last + 1 || from <= over;
    for (let next = held[0]; next && isDue(next); next = held[0]) {
      held.shift();
      if (unit.last !== null && next.to < unit.last) continue;
      unit.last = next.to;
      this.#deliver(uid, next.frames);
    }
    unit.cancel?.();
    const waits = held.map(({ until }) => until - now);
    unit.cancel = held.length > 0 ? this.#clock.after(Math.min(...waits), () => this.#release(uid, unit)) : undefined;
  }
}
