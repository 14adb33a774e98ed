import type { Clock } from "../../clock.ts";
import { Deadlines } from "./deadlines.ts";
import type { Revision } from "./packet.ts";

/** What the heartbeat watches over. */
export interface Beating {
  readonly protocol: Revision;
  /** Time to send a ping (revision 4). */
  ping(): void;
  /** Nothing was heard in time. */
  timeOut(): void;
}

/**
 * Tells the living from the dead, for all sessions of an engine at once. In revision 4 the server pings and waits for
 * an answer; in revision 3 the client pings and the server only listens. Every packet of a client is a sign of life, so
 * any answers a ping (W-1.14).
 */
export class Heartbeat {
  readonly #resting: Deadlines<Beating>;
  readonly #awaited: Deadlines<Beating>;
  readonly #listening: Deadlines<Beating>;

  constructor(clock: Clock, interval: number, timeout: number) {
    const lost = (socket: Beating): void => socket.timeOut();
    this.#resting = new Deadlines(clock, interval, (socket) => {
      this.#awaited.set(socket);
      socket.ping();
    });
    this.#awaited = new Deadlines(clock, timeout, lost);
    this.#listening = new Deadlines(clock, interval + timeout, lost);
  }

  add(socket: Beating): void {
    if (socket.protocol === 3) this.#listening.set(socket);
    else this.#resting.set(socket);
  }

  /** A packet came in. Between pings it changes nothing: clients end sessions in which these do not come on time. */
  heard(socket: Beating): void {
    if (socket.protocol === 3) this.#listening.set(socket);
    else if (this.#awaited.delete(socket)) this.#resting.set(socket);
  }

  remove(socket: Beating): void {
    if (socket.protocol === 3) this.#listening.delete(socket);
    else if (!this.#resting.delete(socket)) this.#awaited.delete(socket);
  }
}
