import type { Socket, SocketOwner } from "../../websocket.ts";
import { ENDINGS } from "./ending.ts";
import { PING, PONG, UPGRADE } from "./packet.ts";

/** The session a probe wants to take over. */
export interface Upgrading {
  /** The client has asked whether the WebSocket works, and was told so. */
  probed(): void;
  /** The client has moved to the WebSocket. */
  upgraded(ws: Socket): void;
  /** The WebSocket was given up; the session stays where it is. */
  probeFailed(probe: Probe): void;
}

/** A WebSocket on trial: `2probe` is answered by `3probe`, then `5` makes it the transport of its session. */
export class Probe implements SocketOwner {
  readonly #session: Upgrading;
  #ws: Socket | null = null;
  #answered = false;

  constructor(session: Upgrading) {
    this.#session = session;
  }

  get opened(): boolean {
    return this.#ws !== null;
  }

  open(ws: Socket): void {
    this.#ws = ws;
  }

  message(ws: Socket, data: string | Buffer): void {
    if (data === `${PING}probe`) {
      this.#answered = true;
      ws.sendText(`${PONG}probe`);
      this.#session.probed();
    } else if (data === UPGRADE && this.#answered) {
      this.#session.upgraded(ws);
    } else {
      ws.close(ENDINGS.malformed.code);
    }
  }

  drain(): void {}

  close(): void {
    this.#session.probeFailed(this);
  }

  /** Gives the WebSocket up. */
  cancel(code: number): void {
    this.#ws?.close(code);
  }
}
