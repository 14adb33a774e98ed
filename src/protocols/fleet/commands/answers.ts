import type { Clock } from "../../../clock.ts";
import type { Counters } from "../counters.ts";
import type { FrameErrorCode } from "../errors.ts";
import type { Fanout } from "../fanout.ts";
import type { Ingest } from "../ingest/ingest.ts";
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
    readonly ingest: Ingest;
    readonly fanout: Fanout;
    readonly counters: Counters;
    readonly clock: Clock;
  };
  readonly #bases: { readonly output: number; readonly analog: number };

  constructor(
    parts: { ingest: Ingest; fanout: Fanout; counters: Counters; clock: Clock },
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
    const { ingest, fanout, counters, clock } = this.#parts;
    const word = (job?.cmd.trim().split(/\s+/, 1)[0] ?? "getio").toLowerCase();
    const askers = asked(job?.askers ?? []);
    if (!job && answer.id !== undefined) return;
    if (!answer.ok) {
      counters.command("failed");
      if (job) this.fault(uid, job.askers, "cmd-failed");
      return;
    }
    const levels = answer.io ?? (word === "getio" ? readIoText(answer.text ?? "", this.#bases) : null);
    if (levels === null) {
      if (!job) return;
      counters.command("answered");
      fanout.answer({ uid, askers, subtype: word, cmd: answer.text ?? "" });
      return;
    }
    const now = clock.now();
    await ingest.submit({ uid, vid: 0, rmx: now, http: false, levels: { tmx: now, io: levels } });
    const tmx = iso(now);
    const cmd = Object.fromEntries(
      Object.entries(levels).map(([number, tlv]) => [number, { tio: Number(number), tlv, hid: null, tmx }]),
    );
    counters.command("answered");
    fanout.answer({ uid, askers, subtype: word, cmd });
  }

  /** There will be no answer (F-4.13). */
  fault(uid: number, askers: readonly Asker[], fault: FrameErrorCode): void {
    if (fault === "cmd-timeout") this.#parts.counters.command("timeout");
    this.#parts.fanout.answer({ uid, askers: asked(askers), subtype: "", cmd: null, fault });
  }
}

/** Request ids by channel. */
function asked(askers: readonly Asker[]): Record<string, string[]> {
  const byChannel = Map.groupBy(askers, ({ channel }) => channel);
  return Object.fromEntries([...byChannel].map(([channel, some]) => [channel, some.map(({ id }) => id)]));
}
