import type { Timers } from "../../backplane/backplane.ts";
import type { Log } from "../../observe/log.ts";

/** What can come due. */
export type AlarmKind = "grace" | "invite";

/**
 * Wakes some node when a due time of the database has come. The database is what counts: who is woken looks there whether
 * it is really time, and a sweep finds what no alarm was set for, so an alarm may be lost or ring twice.
 */
export class Alarms {
  readonly #timers: Timers;
  readonly #log: Log;

  constructor(parts: { timers: Timers; log: Log }) {
    this.#timers = parts.timers;
    this.#log = parts.log;
  }

  set(kind: AlarmKind, id: string, at: Date): void {
    this.#timers.set(`workspaces:${kind}`, id, at.getTime(), "").catch(this.#unset);
  }

  cancel(kind: AlarmKind, id: string): void {
    this.#timers.cancel(`workspaces:${kind}`, id).catch(this.#unset);
  }

  /** Calls `ring` on one node when the time of an alarm has come, again after a pause when it rejects. */
  on(kind: AlarmKind, ring: (id: string) => Promise<void>): () => void {
    return this.#timers.handle(`workspaces:${kind}`, ring);
  }

  readonly #unset = (error: unknown) => this.#log.debug({ error }, "an alarm was not set, the sweep will see to it");
}
