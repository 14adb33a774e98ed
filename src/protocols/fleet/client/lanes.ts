import type { ClientChannel } from "./session.ts";

/** Answers of one socket that may wait to leave; a client that asks for more is told that it is too fast. */
const MAX_WAITING = 500;

/**
 * Sends first answers for a unit in the order of their requests, while answers for other units go past (F-4.2). `answer`
 * is the frame to send, or what makes it known. Resolves when it was sent.
 */
export function sendInOrder(channel: ClientChannel, uid: number, answer: Promise<string>): Promise<void> {
  const { lanes } = channel.session;
  const before = lanes.get(uid) ?? Promise.resolve();
  const sent = before.then(async () => channel.send(await answer));
  lanes.set(uid, sent);
  return sent.finally(() => {
    if (lanes.get(uid) === sent) lanes.delete(uid);
  });
}

/** True when no more requests of this socket can be taken up. */
export function isFull({ session }: ClientChannel): boolean {
  return session.lanes.size + session.unanswered.size >= MAX_WAITING;
}
