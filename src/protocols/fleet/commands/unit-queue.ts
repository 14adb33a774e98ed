import type { Cancel, Clock } from "../../../clock.ts";
import type { FrameErrorCode } from "../errors.ts";

/** Who asked: the channel, the request's id there, and the user. */
export interface Asker {
  readonly channel: string;
  readonly id: string;
  readonly user: number;
}

/** A command on its way. */
export interface Job {
  /** By this a device link answers. */
  readonly wireId: string;
  readonly cmd: string;
  readonly cr: boolean;
  readonly askers: Asker[];
  readonly status: PromiseWithResolvers<boolean>;
}

/** How a unit's queue reaches the world. */
export interface QueueHooks {
  /** Hands the command to the unit; true when it was taken, "left" when no answer will come. Never rejects. */
  dispatch(job: Job): Promise<boolean | "left">;
  fault(job: Job, code: FrameErrorCode): void;
}

/** Commands that may wait for the one in flight (F-4.12). */
const MAX_WAITING = 10;
/** Commands whose time is over and whose answers are still passed on (F-4.13). */
const MAX_LATE = 20;

/** The commands of one unit: one in flight, others wait in order. */
export class UnitQueue {
  readonly #hooks: QueueHooks;
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #waiting: Job[] = [];
  readonly #late: Job[] = [];
  #current: Job | null = null;
  #deadline: Cancel = () => {};

  constructor(hooks: QueueHooks, clock: Clock, timeout: number) {
    this.#hooks = hooks;
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** Resolves to the `cmd-status` of this request (F-4.9). */
  run(wireId: string, cmd: string, cr: boolean, asker: Asker): Promise<boolean> {
    const current = this.#current;
    if (current?.cmd === cmd && current.cr === cr) {
      current.askers.push(asker);
      return current.status.promise;
    }
    const job: Job = { wireId, cmd, cr, askers: [asker], status: Promise.withResolvers<boolean>() };
    if (this.#waiting.length >= MAX_WAITING) return Promise.resolve(false);
    this.#waiting.push(job);
    if (!current) this.#next();
    return job.status.promise;
  }

  /** The job that an answer belongs to, which thereby ends: by its id, or without one whatever is in flight. */
  answered(wireId?: string): Job | null {
    const current = this.#current;
    if (current && (wireId === undefined || current.wireId === wireId)) {
      this.#end();
      return current;
    }
    const late = this.#late.findIndex((job) => job.wireId === wireId);
    return late === -1 ? null : (this.#late.splice(late, 1)[0] ?? null);
  }

  #next(): void {
    const job = this.#waiting.shift();
    this.#current = job ?? null;
    if (!job) return;
    // The time runs from the writing on; a command handed to another server is given time by that.
    void this.#hooks.dispatch(job).then((taken) => {
      job.status.resolve(taken !== false);
      if (this.#current !== job) return;
      if (taken !== true) return this.#end();
      this.#deadline = this.#clock.after(this.#timeout, () => this.#expire(job));
    });
  }

  #expire(job: Job): void {
    this.#hooks.fault(job, "cmd-timeout");
    this.#late.push({ ...job, askers: [] });
    if (this.#late.length > MAX_LATE) this.#late.shift();
    this.#end();
  }

  #end(): void {
    this.#deadline();
    this.#current = null;
    this.#next();
  }
}
