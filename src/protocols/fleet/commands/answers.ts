import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { Counters } from "../counters.ts";
import type { FrameErrorCode } from "../errors.ts";
import type { Fanout } from "../fanout.ts";
import { lockStates, writeStates } from "../ingest/unit-state.ts";
import { iso } from "../record.ts";
import { type IoLevels, readIoText } from "./io-text.ts";
import type { Asker, Job } from "./unit-queue.ts";

/** What a unit says to a command. */
export interface CommandAnswer {
  /** The id under which it was sent, where the way carries one. */
  readonly id?: string;
  readonly ok: boolean;
  readonly text?: string;
  readonly io?: IoLevels;
}

/** Turns what units answer into `cmd-parsed` (F-4.13, F-5.14, F-12.44). */
export class Answers {
  readonly #parts: {
    readonly database: Database;
    readonly fanout: Fanout;
    readonly counters: Counters;
    readonly clock: Clock;
  };
  readonly #bases: { readonly output: number; readonly analog: number };

  constructor(
    parts: { database: Database; fanout: Fanout; counters: Counters; clock: Clock },
    bases: { output: number; analog: number },
  ) {
    this.#parts = parts;
    this.#bases = bases;
  }

  /**
   * Tells everybody concerned. Without a job the answer fits nothing in flight: one that came under an id is ignored,
   * one without is taken when it reads as levels.
   */
  async give(uid: number, answer: CommandAnswer, job: Job | null): Promise<void> {
    const { fanout, counters } = this.#parts;
    const word = (job?.cmd.trim().split(/\s+/, 1)[0] ?? "getio").toLowerCase();
    const askers = asked(job?.askers ?? []);
    if (!job && answer.id !== undefined) return;
    if (!answer.ok) {
      counters.command("failed");
      if (job) this.fault(uid, job, "cmd-failed");
      return;
    }
    const levels = answer.io ?? (word === "getio" ? readIoText(answer.text ?? "", this.#bases) : null);
    if (levels === null) {
      if (job) fanout.answer({ uid, askers, subtype: word, cmd: answer.text ?? "" });
      return;
    }
    const tmx = iso(this.#parts.clock.now());
    await this.#learn(uid, levels, tmx);
    const cmd = Object.fromEntries(
      Object.entries(levels).map(([number, tlv]) => [number, { tio: Number(number), tlv, hid: null, tmx }]),
    );
    counters.command("answered");
    fanout.answer({ uid, askers, subtype: word, cmd });
  }

  /** There will be no answer (F-4.13). */
  fault(uid: number, job: Job, fault: FrameErrorCode): void {
    if (fault === "cmd-timeout") this.#parts.counters.command("timeout");
    this.#parts.fanout.answer({ uid, askers: asked(job.askers), subtype: "", cmd: null, fault });
  }

  /** Levels that were asked for are known from then on, and make no event (F-12.44). */
  #learn(uid: number, levels: IoLevels, tmx: string): Promise<void> {
    return this.#parts.database.orm.transaction(async (tx) => {
      const state = (await lockStates(tx, [uid], { withRecord: false })).get(uid);
      if (!state) return;
      for (const [number, level] of Object.entries(levels)) state.io[number] = [level, null, tmx];
      state.changed = true;
      await writeStates(tx, [state]);
    });
  }
}

/** Request ids by channel. */
function asked(askers: readonly Asker[]): Record<string, string[]> {
  const byChannel = Map.groupBy(askers, ({ channel }) => channel);
  return Object.fromEntries([...byChannel].map(([channel, some]) => [channel, some.map(({ id }) => id)]));
}
