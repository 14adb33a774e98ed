import type { Ending } from "./ending.ts";
import type { Outgoing } from "./packet.ts";

export type TransportName = "polling" | "websocket";

/** The way a session's packets take at the moment. */
export interface Transport {
  readonly name: TransportName;
  /** Whether a packet sent now would leave at once; Socket.IO drops volatile packets otherwise. */
  readonly writable: boolean;
  /** Bytes that wait for the client to take them. */
  readonly bufferedBytes: number;
  /** Sends a packet; `sent` is called when it has left. */
  send(packet: Outgoing, sent?: () => void): void;
  /** Lets go of the connection. False if the client is there but could not be told now. */
  end(ending: Ending): boolean;
}
