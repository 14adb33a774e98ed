import type { Clock } from "../../clock.ts";
import { type Database, DatabaseUnavailable } from "../../database/database.ts";
import { gather } from "../../database/gather.ts";
import { type Draft, type Found, find, insert, type Stored, type Written } from "./message-rows.ts";

/** What became of a draft. */
export type Outcome =
  | ({ readonly kind: "stored" } & Stored)
  /** The sender has used the temp id in this room before; `same` if for the same text. */
  | { readonly kind: "repeated"; readonly id: number; readonly createdAt: number; readonly same: boolean }
  /** The sender is not in the room, or there is none. */
  | { readonly kind: "stranger" };

/** The store was lost in mid-statement: the message may be stored or not, and nobody can be asked. */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
}

/** Rows of one statement at most. */
const MAX_ROWS = 500;
const MAX_QUEUED = 20_000;
/** Milliseconds between two attempts to reach a store that was lost. */
const RETRY = 100;

/**
 * The messages as they are written: many in one statement, each at most once by (room, sender, temp id), with ids that
 * rise in commit order within a room (C-4.7, C-4.9, C-5.6, C-5.7), on any number of nodes.
 */
export class Journal {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #write: (draft: Draft) => Promise<Written>;
  readonly #read: (draft: Draft) => Promise<Found>;
  /** A statement was lost. The store must answer a harmless one before it is given another message. */
  #doubted = false;
  #probe: Promise<boolean> | undefined;

  constructor(parts: { database: Database; clock: Clock }) {
    this.#database = parts.database;
    this.#clock = parts.clock;
    const { orm } = parts.database;
    const limits = { maxRows: MAX_ROWS, maxQueued: MAX_QUEUED };
    this.#write = gather({ ...limits, write: (drafts) => insert(orm, drafts) });
    this.#read = gather({ ...limits, write: (drafts) => find(orm, drafts) });
  }

  /** What already speaks against storing a draft; null when nothing does. Throws `DatabaseUnavailable`. */
  async objection(draft: Draft): Promise<Exclude<Outcome, { kind: "stored" }> | null> {
    const found = await this.#read(draft);
    if (found.message !== null || !found.participants.includes(draft.senderId)) return unstored(found, draft);
    return null;
  }

  /**
   * Stores a draft unless it repeats an earlier one or its sender is a stranger; resolves when that is committed.
   *
   * A statement lost with its connection is given to the store again until `deadline`, as `clock.elapsed()` counts. The
   * key makes that harmless, and the lost one, should it arrive late, finds the key taken. Throws `DatabaseUnavailable`
   * when nothing is stored now or later, else {@link OutcomeUnknown} (C-4.8, C-4.19).
   */
  async append(draft: Draft, deadline: number): Promise<Outcome> {
    for (let lost = false; ; ) {
      if (await this.#isSound()) {
        try {
          return outcome(await this.#write(draft), draft, lost);
        } catch (error) {
          if (!lost && !(error instanceof DatabaseUnavailable && !error.unsent)) throw error;
          this.#doubted = true;
          lost = true;
        }
      } else if (!lost) throw new DatabaseUnavailable("the database did not serve just now", { unsent: true });
      if (this.#clock.elapsed() + RETRY > deadline)
        throw new OutcomeUnknown("the database was lost and did not come back");
      await new Promise<void>((resolve) => this.#clock.after(RETRY, resolve));
    }
  }

  /** Whether the store can be given a message. Messages that come while it is in doubt wait for one answer. */
  async #isSound(): Promise<boolean> {
    if (!this.#doubted) return true;
    this.#probe ??= this.#database
      .ping()
      .then(() => {
        this.#doubted = false;
        return true;
      })
      .catch(() => false)
      .finally(() => {
        this.#probe = undefined;
      });
    return this.#probe;
  }
}

function outcome(written: Written, draft: Draft, lost: boolean): Outcome {
  if ("stored" in written) return { kind: "stored", ...written.stored };
  const { found } = written;
  // The lost attempt had arrived: nobody else has made a message of this key, text and millisecond.
  const own = lost && found.message === draft.message && found.createdAt === draft.createdAt;
  return own ? { kind: "stored", ...found } : unstored(found, draft);
}

function unstored({ id, message, createdAt }: Found, draft: Draft): Exclude<Outcome, { kind: "stored" }> {
  if (message === null) return { kind: "stranger" };
  return { kind: "repeated", id, createdAt, same: message === draft.message };
}
