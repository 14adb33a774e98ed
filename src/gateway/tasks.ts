import type { Cancel, Clock } from "../clock.ts";
import type { Log } from "../observe/log.ts";
import type { Task } from "../protocols/protocol.ts";

/** Runs recurring work until it is stopped. Runs of one task never overlap; a failed run is logged and the next comes. */
export class TaskRunner {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #cancels: Cancel[] = [];
  readonly #running = new Set<Promise<void>>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  start(tasks: readonly Task[]): void {
    for (const task of tasks) {
      let busy = false;
      const run = async (): Promise<void> => {
        if (busy) return;
        busy = true;
        try {
          await task.run();
        } catch (error) {
          this.#log.error({ task: task.name, error }, "task failed");
        } finally {
          busy = false;
        }
      };
      this.#cancels.push(
        this.#clock.every(task.every, () => {
          const running = run();
          this.#running.add(running);
          void running.finally(() => this.#running.delete(running));
        }),
      );
    }
  }

  /** Starts no further run and waits for those under way. */
  async stop(): Promise<void> {
    for (const cancel of this.#cancels.splice(0)) cancel();
    await Promise.all(this.#running);
  }
}
