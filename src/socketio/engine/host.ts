import type { Socket } from "../../websocket.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Ending } from "./ending.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Settings } from "./options.ts";
import type { Revision } from "./packet.ts";
import type { Probe } from "./probe.ts";
import type { EngineRequest } from "./request.ts";
import type { EngineSocket } from "./socket.ts";

/** How a session comes into being. */
export interface Opening {
  readonly id: string;
  readonly protocol: Revision;
  readonly request: EngineRequest;
  readonly address: string;
  /** The WebSocket it opens on; without one it starts on polling. */
  readonly ws?: Socket;
}

/** What a session needs of its engine. */
export interface Host {
  readonly settings: Settings;
  readonly heartbeat: Heartbeat;
  /** WebSockets on trial. */
  readonly probes: Deadlines<Probe>;
  /** The name a topic of this engine has on the Bun server. */
  topic(name: string): string;
  /** Publishes a message to live subscribers, all but one if given. */
  publish(topic: string, data: string, except: Socket | null): void;
  /** The session is over. `told` is false when its client polls and had no poll waiting for the news. */
  ended(socket: EngineSocket, ending: Ending, told: boolean): void;
  /** A listener of the session threw. */
  fault(error: unknown, socket: EngineSocket): void;
}
