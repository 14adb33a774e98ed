import type { Peer } from "../../socketio/endpoint.ts";
import type { User } from "./identity.ts";
import type { Side } from "./room-name.ts";

/** What is known of an admitted socket of any namespace. Plain data: it outlives a reload of the code. */
export interface Admitted {
  readonly user: User;
  /** Name of this connection in the presence of all nodes. */
  readonly connection: string;
  /** Epoch milliseconds at which its token ends; moved by `verify_user`. */
  expires: number;
}

/** What is known of one of the chat. */
export interface Session extends Admitted {
  /** The role it connected with (V-2.5). */
  readonly role: Side;
  /** It is the first socket of its user. */
  readonly first: boolean;
  /** Events refused for whatever they were, and events over the rate. */
  readonly refusals: Window;
  readonly excesses: Window;
}

/** So many in a minute that began then (elapsed ms of the clock). */
export interface Window {
  since: number;
  count: number;
}

export type ChatPeer = Peer<Session>;

/** Socket.IO room of all sockets of a user (V-5.1). */
export const userTopic = (user: string) => `user:${user}`;
