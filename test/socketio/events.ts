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
