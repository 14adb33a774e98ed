import { spyOn } from "bun:test";
import type { Socket } from "socket.io-client";
import type { Socket as SocketV2 } from "socket.io-client-v2";

/** Resolves with the arguments of the next `event` of a stock client. */
export function once(client: Socket | SocketV2, event: string): Promise<unknown[]> {
  return new Promise((resolve) => {
    (client as SocketV2).once(event, (...args) => resolve(args));
  });
}

/** Resolves when a condition holds that no event tells. The limit on the wait is the test's own. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(2);
}

/** A time limit that is kept with a timer of the system, not with a clock, and is over when the test says so. */
export interface HeldLimit extends Disposable {
  /** Its length in milliseconds, by which its timers are known. */
  readonly ms: number;
  /** Makes it be over. */
  end(): void;
}

/** Holds the timers of one length that are set from now on until the limit is disposed of. */
export function holdLimit(ms = 19_999): HeldLimit {
  const { setTimeout } = globalThis;
  const held: (() => void)[] = [];
  const hold = (task: () => void, after?: number, ...args: never[]) =>
    after === ms ? held.push(task) : setTimeout(task, after, ...args);
  const spy = spyOn(globalThis, "setTimeout").mockImplementation(hold as never);
  return {
    ms,
    end() {
      for (const task of held.splice(0)) task();
    },
    [Symbol.dispose]: () => spy.mockRestore(),
  };
}
