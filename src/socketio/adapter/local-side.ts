import type { Namespace, Socket } from "socket.io";
import type { BroadcastOptions, Room, SocketId } from "socket.io-adapter";
import type { Packet } from "socket.io-parser";
import type { Encoded } from "../core.ts";
import { decodePacket, decodeValues, type NodeMessage } from "./node-message.ts";

/** What other nodes may do to the sockets of this one. */
export interface LocalSide {
  readonly nsp: Namespace;
  deliver(encoded: Encoded, options: BroadcastOptions): void;
  /** Returns how many clients were asked. */
  deliverWithAck(packet: Packet, options: BroadcastOptions, answer: (value: unknown) => void): number;
  chosen(options: BroadcastOptions): Socket[];
  roomsOf(id: SocketId): Iterable<Room>;
}

/** Says something back to the node that asked. */
export interface Reply {
  clients(count: number): void;
  answer(value: unknown): void;
}

/** Does here what another node asked for. Messages that are replies themselves mean nothing here. */
export function carryOut(local: LocalSide, message: NodeMessage, packet: Encoded, reply: Reply): void {
  switch (message.type) {
    case "emit":
      local.deliver(packet, optionsOf(message));
      break;
    case "ask": {
      const asked = local.deliverWithAck(decodePacket(packet), optionsOf(message), (value) => reply.answer(value));
      reply.clients(asked);
      break;
    }
    case "join":
      for (const socket of local.chosen(optionsOf(message))) socket.join(message.names);
      break;
    case "leave":
      for (const socket of local.chosen(optionsOf(message))) {
        for (const room of message.names) socket.leave(room);
      }
      break;
    case "disconnect":
      for (const socket of local.chosen(optionsOf(message))) socket.disconnect(message.close);
      break;
    case "fetch":
      reply.answer(local.chosen(optionsOf(message)).map((socket) => detailsOf(local, socket)));
      break;
    case "event":
      serverSideEvent(local.nsp, decodeValues(packet), message.request === undefined ? null : reply);
      break;
  }
}

function serverSideEvent(namespace: Namespace, [name, ...values]: unknown[], reply: Reply | null): void {
  let answered = false;
  const acknowledge = (value: unknown) => {
    if (!answered) reply?.answer(value);
    answered = true;
  };
  namespace._onServerSideEmit([String(name), ...values, ...(reply ? [acknowledge] : [])]);
}

function optionsOf(message: {
  rooms: string[];
  except: string[];
  volatile?: boolean;
  timeout?: number;
}): BroadcastOptions {
  const { volatile = false, timeout } = message;
  return {
    rooms: new Set(message.rooms),
    except: new Set(message.except),
    flags: { volatile, ...(timeout === undefined ? {} : { timeout }) },
  };
}

/** What another node may know of a socket. Credentials the client brought stay here. */
function detailsOf(local: LocalSide, { id, handshake, data }: Socket) {
  const { time, address, xdomain, secure, issued, url, query } = handshake;
  const { authorization: _, cookie: __, ...headers } = handshake.headers;
  const told = { headers, time, address, xdomain, secure, issued, url, query, auth: {} };
  return { id, handshake: told, rooms: [...local.roomsOf(id)], data };
}
