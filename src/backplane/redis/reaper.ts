import type { Log } from "../../observe/log.ts";
import type { Present } from "../backplane.ts";
import type { Beat } from "./lease.ts";
import type { PresenceStore } from "./presence-store.ts";

export type LostListener = (set: string, lost: Present, last: boolean) => void;

/**
 * Buries the nodes that died and announces what ended with them. The store notes which node owes which announcement,
 * so none is lost with a cut connection or with the death of the reaper; one is made twice only if a node dies between
 * making it and saying so.
 */
export class Reaper {
  readonly #store: PresenceStore;
  readonly #log: Log;
  readonly #listeners = new Set<LostListener>();
  /** Made, but the store may not know yet. */
  readonly #made = new Set<string>();

  constructor(store: PresenceStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  onLost(listener: LostListener): () => void {
    const entry: LostListener = (set, lost, last) => listener(set, lost, last);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** @throws {BackplaneUnavailable} half-way; the next call goes on from there */
  async work({ ended, owed }: Beat): Promise<void> {
    for (const node of ended) {
      this.#log.warn({ node }, "a node is gone, its connections end with it");
      await this.#store.reap(node);
    }
    if (ended.length === 0 && owed === 0) return;
    for (;;) {
      const announcements = await this.#store.owed();
      if (announcements.length === 0) return;
      for (const { set, lost, last, text } of announcements) {
        if (this.#made.has(text)) continue;
        this.#made.add(text);
        this.#announce(set, lost, last);
      }
      await this.#store.settle(announcements);
      for (const { text } of announcements) this.#made.delete(text);
    }
  }

  #announce(set: string, lost: Present, last: boolean): void {
    for (const listener of this.#listeners) {
      try {
        listener(set, lost, last);
      } catch (error) {
        this.#log.error({ err: error }, "presence listener failed");
      }
    }
  }
}
