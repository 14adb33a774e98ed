import { randomUUID } from "node:crypto";
import * as v from "valibot";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import { event, type Handshake, namespace, type SocketIoEndpoint, socketio } from "../../socketio/endpoint.ts";
import type { Authentication } from "./authentication.ts";
import type { Connections } from "./connections.ts";
import type { Conversations } from "./conversations.ts";
import type { Counters } from "./counters.ts";
import { type ErrorCode, errors, isOutage } from "./errors.ts";
import type { Handovers } from "./handovers.ts";
import type { Losses } from "./losses.ts";
import { Broadcast, isCleanText, isSane, Transaction } from "./messages.ts";
import { type Notices, rooms } from "./notices.ts";
import type { Refusals } from "./refusals.ts";
import type { Session, WorkspacesPeer } from "./session.ts";
import type { WorkspacesSettings } from "./settings.ts";

/** Failed `auth` events of one socket that are put up with (W-2.30). */
const MAX_FAILURES = 20;
/** Milliseconds of too many events that lead to a final close, and of quiet that end the count (W-5.12). */
const FLOOD = 10_000;
const QUIET = 2_000;
/** Characters of an unknown event's name that are repeated (W-5.3). */
const MAX_NAME = 64;
/** Actions of `conversation-broadcast` that are the server's own (W-5.8). */
const RESERVED_ACTIONS = new Set(["socket-reconnecting", "media-server-state"]);
/** Milliseconds a place among the unauthenticated outlives the deadline, should its socket be forgotten. */
const PLACE_SLACK = 5_000;

/** What the endpoint works with. */
export interface EndpointParts {
  readonly settings: WorkspacesSettings;
  readonly cors: CorsPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly backplane: Backplane;
  readonly notices: Notices;
  readonly authentication: Authentication;
  readonly connections: Connections;
  readonly conversations: Conversations;
  readonly counters: Counters;
  readonly handovers: Handovers;
  readonly losses: Losses;
  /** The authenticated sockets of this node by their id. */
  readonly peers: Map<string, WorkspacesPeer>;
  readonly refusals: Refusals;
}

/** The Socket.IO endpoint (sections 1, 2 and 5). */
export function endpoint(parts: EndpointParts): SocketIoEndpoint {
  const { settings, cors, notices, connections, counters, handovers, losses, peers } = parts;
  const any = v.unknown();
  return socketio({
    path: "/socket.io",
    revisions: [3, 4],
    transports: ["polling", "websocket"],
    cors,
    forbidOrigins: true,
    hosts: settings.hosts,
    bindAddress: settings.bindSid,
    pingInterval: settings.pingInterval,
    pingTimeout: settings.pingTimeout,
    connectTimeout: settings.authDeadline,
    maxMessageBytes: settings.maxPacket,
    maxOutboxBytes: settings.sendQueue,
    // W-2.31
    maxInbox: 256,
    inboxOverflow: "kick",
    binary: "close",
    namespaces: {
      "/": namespace<Session>({
        mounted(space) {
          notices.mounted(space);
          handovers.mounted(space);
        },
        authenticate: (handshake) => admit(handshake, parts),
        joined: (peer) => awaitAuthentication(peer, parts),
        on: {
          auth: event<Session, typeof any>(
            any,
            (peer, input) => answer(peer, "auth", input, parts, () => authenticate(peer, input, parts)),
            () => {},
          ),
          "conversation-broadcast": event<Session, typeof any>(
            any,
            (peer, input) => answer(peer, "conversation-broadcast", input, parts, () => broadcast(peer, input, parts)),
            () => {},
          ),
          logout: event<Session, typeof any>(
            any,
            (peer, input) =>
              answer(peer, "logout", input, parts, async () => {
                if (!peer.session.identity) throw errors.fault("not_authenticated");
                peer.kick();
              }),
            () => {},
          ),
        },
        unknown: (peer, name, [input]) => refuse(peer, name, input, "unknown_event"),
        rate: { perSecond: settings.rateEvents, burst: 3 * settings.rateEvents },
        limited: (peer, name, _wait, _acknowledge, [input]) => limited(peer, name, input, parts),
        failed(peer, name, error) {
          parts.log.error({ event: name, error }, "event failed");
          refuse(peer, name, undefined, "system");
        },
        async left(peer, reason) {
          counters.closed(reason);
          parts.log.info({ socket: peer.id, reason }, "disconnected");
          peer.session.endDeadline();
          peers.delete(peer.id);
          void releaseAddress(peer.session, parts);
          const { identity } = peer.session;
          if (!identity) return;
          if (reason !== "kicked") return losses.lost(peer.id);
          try {
            await connections.drop(peer.id, identity.userId);
          } catch (error) {
            // A loss is written sooner or later, and at the end of its grace the connection goes as well.
            parts.log.warn({ socket: peer.id, error }, "a closed socket counts as lost");
            await losses.lost(peer.id);
          }
        },
      }),
    },
  });
}

/** W-13.7, W-14.9: sockets of one address over all nodes, and those of them that are not authenticated. */
async function admit({ address }: Handshake, { settings, backplane, counters }: EndpointParts) {
  const place = randomUUID();
  const { unauthPerIp, socketsPerIp, authDeadline } = settings;
  const { tallies, presence } = backplane;
  if (!(await tallies.hold(waitingAt(address), place, unauthPerIp, authDeadline + PLACE_SLACK))) {
    counters.refused("address");
    return { refuse: "close" as const };
  }
  const { admitted } = await presence.join(SOCKETS, address, place, { limit: socketsPerIp });
  if (!admitted) {
    await tallies.release(waitingAt(address), place);
    counters.refused("address");
    return { refuse: "close" as const };
  }
  const session: Session = {
    identity: null,
    failures: 0,
    floodingSince: 0,
    floodedAt: 0,
    endDeadline: () => {},
    address,
    place,
  };
  return { session };
}

const SOCKETS = "workspaces:addresses";
const waitingAt = (address: string) => `workspaces:unauthenticated:${address}`;

async function releaseAddress({ address, place }: Session, { backplane, log }: EndpointParts): Promise<void> {
  try {
    await backplane.tallies.release(waitingAt(address), place);
    await backplane.presence.leave(SOCKETS, address, place);
  } catch (error) {
    log.debug({ error }, "an address was not released");
  }
}

/** W-2.29 */
function awaitAuthentication(peer: WorkspacesPeer, { clock, settings, log }: EndpointParts): void {
  log.info({ socket: peer.id, address: peer.session.address, revision: peer.revision }, "connected");
  peer.session.endDeadline = clock.after(settings.authDeadline, () => {
    peer.dismiss("socket-api-error", { event: "auth", message: errors.rows.auth_timeout.text });
  });
}

async function authenticate(peer: WorkspacesPeer, input: unknown, parts: EndpointParts): Promise<void> {
  const { authentication, backplane, counters, refusals } = parts;
  const known = peer.session.identity !== null;
  try {
    const success = await authentication.authenticate(peer, input);
    if (!known) void backplane.tallies.release(waitingAt(peer.session.address), peer.session.place);
    counters.authenticated.value++;
    peer.emit("auth-success", success);
  } catch (error) {
    if (errors.owns(error)) {
      // A store that is away is nobody's failure.
      peer.session.failures++;
      counters.refused("auth");
      refusals.tell(peer.id, { code: error.code, event: "auth" });
    }
    throw error;
  }
}

/** W-5.5 to W-5.10 */
async function broadcast(peer: WorkspacesPeer, input: unknown, parts: EndpointParts): Promise<void> {
  const { settings, notices, conversations } = parts;
  const { identity } = peer.session;
  if (!identity) throw errors.fault("not_authenticated");
  const message = messageOf(input, settings.maxBroadcast);
  if (typeof message === "object" && RESERVED_ACTIONS.has(message.action)) throw errors.fault("action_reserved");
  const channelId = conversationOf(peer) ?? (await conversations.channelOf(identity.userId, peer.id));
  if (channelId === null) throw errors.fault("not_selected");
  // Put into the conversation by another node a moment ago: what it says must reach itself as well.
  await peer.socket.join(rooms.conversation(channelId));
  if (typeof message === "string") return notices.broadcast(channelId, message);
  const { transaction: _, ...rest } = message;
  notices.broadcast(channelId, { ...rest, userId: identity.userId });
}

/** W-5.6 */
function messageOf(input: unknown, maxBytes: number): string | v.InferOutput<typeof Broadcast> {
  if (typeof input === "string") {
    if (input !== "" && Buffer.byteLength(input) <= maxBytes && isCleanText(input)) return input;
  } else if (isSane(input) && !Array.isArray(input) && v.is(Broadcast, input)) {
    if (Buffer.byteLength(JSON.stringify(input)) <= maxBytes) return input;
  }
  throw errors.fault("broadcast_shape");
}

const CONVERSATION = rooms.conversation("");

/** The conversation a socket is in, as its rooms tell it. */
function conversationOf({ socket }: WorkspacesPeer): string | null {
  for (const room of socket.rooms) if (room.startsWith(CONVERSATION)) return room.slice(CONVERSATION.length);
  return null;
}

/** Does what an event asks for; a failure is told by W-5.2, and becomes `System error` if it is ours (W-5.13). */
async function answer(
  peer: WorkspacesPeer,
  name: string,
  input: unknown,
  { log }: EndpointParts,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = errors.owns(error) ? error.code : "system";
    if (code === "system" && !isOutage(error)) log.error({ event: name, error }, "event failed");
    refuse(peer, name, input, code);
    if (name === "auth" && peer.session.failures >= MAX_FAILURES) peer.kick();
  }
}

/** W-5.2, W-5.3 */
function refuse(peer: WorkspacesPeer, name: string, input: unknown, code: ErrorCode): void {
  const message = errors.rows[code].text;
  const transaction = transactionOf(input);
  if (transaction !== null) peer.emit(`socket-api-error-${transaction}`, { message });
  peer.emit("socket-api-error", { event: name.slice(0, MAX_NAME), message });
}

function transactionOf(input: unknown): string | null {
  if (typeof input !== "object" || input === null || !Object.hasOwn(input, "transaction")) return null;
  const result = v.safeParse(Transaction, (input as { transaction: unknown }).transaction);
  return result.success ? result.output : null;
}

/** W-5.12 */
function limited(peer: WorkspacesPeer, name: string, input: unknown, { clock, counters }: EndpointParts): void {
  const { session } = peer;
  const now = clock.elapsed();
  if (now - session.floodedAt > QUIET) session.floodingSince = now;
  session.floodedAt = now;
  counters.throttled("events");
  refuse(peer, name, input, "too_many_requests");
  if (now - session.floodingSince >= FLOOD) peer.kick();
}
