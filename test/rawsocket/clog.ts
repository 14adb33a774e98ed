import { RawChannel } from "../../src/rawsocket/channel.ts";
import type { Channel } from "../../src/rawsocket/endpoint.ts";

/** Bytes that wait in a channel's outbox. */
export function waiting(channel: Channel<unknown>): number {
  return channel instanceof RawChannel ? (channel.socket?.getBufferedAmount() ?? 0) : 0;
}

/**
 * Sends to a peer that does not read until `bytes` wait in the channel's outbox; returns the number of frames. The
 * system's buffers come first, and they grow by themselves.
 */
export async function clog(channel: Channel<unknown>, bytes: number): Promise<number> {
  const frame = "x".repeat(50_000);
  let sent = 0;
  while (waiting(channel) < bytes) {
    channel.send(frame);
    sent++;
    // Lets the system move what it can, so that what waits at the end stays.
    if (sent % 10 === 0) await Bun.sleep(1);
  }
  return sent;
}
