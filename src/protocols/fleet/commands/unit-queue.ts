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
  /** Its `cmd-status` (F-4.9). */
  readonly status: PromiseWithResolvers<boolean>;
  /** Nothing more will be said of it: it was refused, answered or given up. */
  readonly ended: PromiseWithResolvers<void>;
}

/** The commands of one unit. Plain data: it outlives a reload of the code. */
export interface UnitCommands {
  /** The one in flight, and what ends its time. */
  current: Job | null;
  deadline: Cancel;
  readonly waiting: Job[];
  /** Those whose time is over and whose answers are still passed on (F-4.13). */
  readonly late: Job[];
}

export const noCommands = (): UnitCommands => ({ current: null, deadline: () => {}, waiting: [], late: [] });

/** How a unit's queue reaches the world. */
export interface QueueHooks {
  /** Hands the command to the unit; true when it was taken, "left" when no answer will come. Never rejects. */
  dispatch(job: Job): Promise<boolean | "left">;
  fault(job: Job, code: FrameErrorCode): void;
}

/** Commands that may wait for the one in flight (F-4.12). */
const MAX_WAITING = 10;
const MAX_LATE = 20;

/** Milliseconds until the last command of a full queue has ended, where each takes as many as it can. */
export const longestStay = (each: number): number => (1 + MAX_WAITING) * each;

/** Works through the commands of one unit: one in flight, others wait in order. */
export class UnitQueue {
  readonly #commands: UnitCommands;
  readonly #hooks: QueueHooks;
  readonly #clock: Clock;
  readonly #timeout: number;

  constructor(commands: UnitCommands, hooks: QueueHooks, clock: Clock, timeout: number) {
    this.#commands = commands;
    this.#hooks = hooks;
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** Takes a command; an equal one in flight stands for it. Null when too many wait. */
  take(wireId: string, cmd: string, cr: boolean, asker: Asker): Job | null {
    const { current, waiting } = this.#commands;
    if (current?.cmd === cmd && current.cr === cr) {
      current.askers.push(asker);
      return current;
    }
    if (waiting.length >= MAX_WAITING) return null;
    const [status, ended] = [Promise.withResolvers<boolean>(), Promise.withResolvers<void>()];
    const job: Job = { wireId, cmd, cr, askers: [asker], status, ended };
    waiting.push(job);
    if (!current) this.#next();
    return job;
  }

  /** The job that an answer belongs to, which thereby ends: by its id, or without one whatever is in flight. */
  answered(wireId?: string): Job | null {
    const { current, late } = this.#commands;
    if (current && (wireId === undefined || current.wireId === wireId)) {
      this.#end(current);
      return current;
    }
    const index = late.findIndex((job) => job.wireId === wireId);
    return index === -1 ? null : (late.splice(index, 1)[0] ?? null);
  }

  #next(): void {
    const job = this.#commands.waiting.shift();
    this.#commands.current = job ?? null;
    if (!job) return;
    // The time runs from the writing on; a command handed to another server is given time by that.
    void this.#hooks.dispatch(job).then((taken) => {
      job.status.resolve(taken !== false);
      if (this.#commands.current !== job) return;
      if (taken !== true) return this.#end(job);
      this.#commands.deadline = this.#clock.after(this.#timeout, () => this.#expire(job));
    });
  }

  #expire(job: Job): void {
    const { late } = this.#commands;
    this.#hooks.fault(job, "cmd-timeout");
    late.push({ ...job, askers: [] });
    if (late.length > MAX_LATE) late.shift();
    this.#end(job);
  }

  #end(job: Job): void {
    this.#commands.deadline();
    this.#commands.current = null;
    job.ended.resolve();
    this.#next();
  }
}
