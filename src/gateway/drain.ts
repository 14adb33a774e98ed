import type { Clock } from "../clock.ts";
import type { SocketMount } from "./mounts.ts";

/** Milliseconds between two batches. */
const PAUSE = 20;
/** Sockets of the smallest batch: 5,000 sockets are through in a fifth of a second. */
const BATCH = 500;

/**
 * Ends every socket of the mounts in batches, each by its protocol's come-back signal, so that clients return to other
 * nodes spread over time. Done when none is left, or at `deadline` (as `clock.elapsed()` counts); returns how many are
 * left then.
 */
export async function drainSockets(mounts: readonly SocketMount[], deadline: number, clock: Clock): Promise<number> {
  const open = () => mounts.reduce((sum, mount) => sum + mount.size, 0);
  // Half of the time is for the batches, the other half for clients that take their time to go.
  const rounds = Math.max(1, Math.floor((deadline - clock.elapsed()) / 2 / PAUSE));
  const batch = Math.max(BATCH, Math.ceil(open() / rounds));
  while (open() > 0 && clock.elapsed() < deadline) {
    let room = batch;
    for (const mount of mounts) {
      if (room <= 0) break;
      const share = Math.min(room, mount.size);
      mount.drain(share);
      room -= share;
    }
    await new Promise<void>((resolve) => clock.after(PAUSE, resolve));
  }
  return open();
}
