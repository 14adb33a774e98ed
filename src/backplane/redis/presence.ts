import type { Log } from "../../observe/log.ts";
import { BackplaneUnavailable, type Presence, type Present } from "../backplane.ts";
import { type Joined, type Left, Roster } from "../roster.ts";
import type { Connection } from "./connection.ts";
import type { Beat, Lease } from "./lease.ts";
import type { PresenceStore, Reference } from "./presence-store.ts";
import { type LostListener, Reaper } from "./reaper.ts";

/** Connections brought in line at a time. */
const batch = 100;

type RestoredListener = (set: string, restored: Present, first: boolean) => void;

/**
 * Presence of all nodes. Each keeps a roster of its own connections, which is the truth about them: whenever the store
 * may differ (it was away, it lost data, others gave this node up) it is brought in line with the roster.
 */
export class RedisPresence implements Presence {
  readonly #connection: Connection;
  readonly #store: PresenceStore;
  readonly #node: string;
  readonly #roster: Roster;
  readonly #reaper: Reaper;
  readonly #log: Log;
  readonly #restoredListeners = new Set<RestoredListener>();
  /** Connections about which the store may be wrong, by their text. */
  readonly #unsure = new Map<string, Reference>();
  /** Connections with a command under way: what is right for them is not known before its answer. */
  readonly #underWay = new Map<string, number>();
  #everythingUnsure = false;
  #working: Promise<void> | null = null;

  constructor(
    connection: Connection,
    { node, store, lease, log }: { node: string; store: PresenceStore; lease: Lease; log: Log },
  ) {
    this.#connection = connection;
    this.#store = store;
    this.#node = node;
    this.#roster = new Roster(node);
    this.#reaper = new Reaper(store, log);
    this.#log = log;
    connection.onUp(() => {
      this.#everythingUnsure = true;
    });
    lease.onBeat((beat) => {
      this.#working ??= this.#work(beat).finally(() => {
        this.#working = null;
      });
    });
  }

  join(
    set: string,
    member: string,
    connection: string,
    { data = "", limit }: { data?: string; limit?: number } = {},
  ): Promise<Joined> {
    const reference: Reference = [set, member, connection];
    return this.#change(
      reference,
      async () => {
        const { done, before, after } = await this.#apply(reference, data, limit);
        if (done) this.#roster.join(set, member, connection, data, undefined);
        return { admitted: done, first: done && before === 0, count: after };
      },
      () => this.#roster.join(set, member, connection, data, limit),
    );
  }

  leave(set: string, member: string, connection: string): Promise<Left> {
    const reference: Reference = [set, member, connection];
    return this.#change(
      reference,
      async () => {
        const { done, after } = await this.#apply(reference, null);
        this.#roster.leave(set, member, connection);
        return { last: done && after === 0, count: after };
      },
      () => this.#roster.leave(set, member, connection),
    );
  }

  list(set: string, member?: string): Promise<Present[]> {
    return this.#store.list(set, member);
  }

  among(set: string, members: Iterable<string>): Promise<Set<string>> {
    return this.#store.among(set, members);
  }

  onLost(listener: LostListener): () => void {
    return this.#reaper.onLost(listener);
  }

  onRestored(listener: RestoredListener): () => void {
    const entry: RestoredListener = (set, restored, first) => listener(set, restored, first);
    this.#restoredListeners.add(entry);
    return () => this.#restoredListeners.delete(entry);
  }

  /** Takes this node's connections out of the store. Whoever is left announces those that had not left before. */
  async close(): Promise<void> {
    await this.#working;
    try {
      await this.#store.reap(this.#node);
    } catch (error) {
      // The others will find out by its lease.
      this.#log.warn({ err: error }, "presence was not given up");
    }
  }

  async #apply(reference: Reference, data: string | null, limit?: number) {
    const { held, changed } = await this.#store.change([{ reference, data, limit }]);
    if (!held) this.#everythingUnsure = true;
    return changed[0]!;
  }

  async #change<T>(reference: Reference, together: () => Promise<T>, alone: () => T): Promise<T> {
    const text = JSON.stringify(reference);
    this.#underWay.set(text, (this.#underWay.get(text) ?? 0) + 1);
    try {
      return await together();
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) throw error;
      // While the store is away there is no need to note it: on its return everything is unsure.
      if (this.#connection.up) this.#unsure.set(text, reference);
      return alone();
    } finally {
      const left = this.#underWay.get(text)! - 1;
      if (left > 0) this.#underWay.set(text, left);
      else this.#underWay.delete(text);
    }
  }

  async #work(beat: Beat): Promise<void> {
    try {
      if (!beat.held || this.#everythingUnsure) await this.#doubtEverything();
      await this.#bringInLine();
      await this.#reaper.work(beat);
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) this.#log.error({ err: error }, "presence upkeep failed");
    }
  }

  async #doubtEverything(): Promise<void> {
    // Cleared first: whatever raises the doubt again while this waits must be kept.
    this.#everythingUnsure = false;
    try {
      for (const reference of await this.#store.references()) this.#unsure.set(JSON.stringify(reference), reference);
    } catch (error) {
      this.#everythingUnsure = true;
      throw error;
    }
    for (const reference of this.#roster.entries()) this.#unsure.set(JSON.stringify(reference), reference);
  }

  async #bringInLine(): Promise<void> {
    const doubts = [...this.#unsure];
    for (let at = 0; at < doubts.length; at += batch) {
      const part = doubts.slice(at, at + batch).filter(([text]) => !this.#underWay.has(text));
      if (part.length > 0) await this.#bringPartInLine(part);
    }
  }

  async #bringPartInLine(doubts: readonly (readonly [text: string, reference: Reference])[]): Promise<void> {
    const changes = doubts.map(([text, reference]) => {
      this.#unsure.delete(text);
      return { reference, data: this.#roster.data(...reference) ?? null };
    });
    try {
      const { held, changed } = await this.#store.change(changes);
      if (!held) this.#everythingUnsure = true;
      for (const [index, { done, before, after }] of changed.entries()) {
        const { reference, data } = changes[index]!;
        if (done && data !== null && after > before) this.#announceRestored(reference, data, before === 0);
      }
    } catch (error) {
      for (const [text, reference] of doubts) this.#unsure.set(text, reference);
      throw error;
    }
  }

  #announceRestored([set, member, connection]: Reference, data: string, first: boolean): void {
    for (const listener of this.#restoredListeners) {
      try {
        listener(set, { member, connection, node: this.#node, data }, first);
      } catch (error) {
        this.#log.error({ err: error }, "presence listener failed");
      }
    }
  }
}
