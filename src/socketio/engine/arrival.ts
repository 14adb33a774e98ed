import type { Socket, SocketOwner } from "../../websocket.ts";

/** Owns a WebSocket until it has opened, which Bun lets happen inside `server.upgrade`. */
export class Arrival implements SocketOwner {
  readonly open: (ws: Socket) => void;

  constructor(opened: (ws: Socket) => void) {
    this.open = opened;
  }

  message(): void {}
  drain(): void {}
  close(): void {}
}
