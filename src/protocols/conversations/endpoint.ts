import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import type { Fault } from "../../errors.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import {
  type Acknowledge,
  type EventHandler,
  event,
  type NamespaceDeclaration,
  namespace,
  type SocketIoEndpoint,
  socketio,
  unwanted,
} from "../../socketio/endpoint.ts";
import type { Admission } from "./admission.ts";
import type { Companions } from "./companions.ts";
import type { Conversations } from "./conversations.ts";
import type { Counters } from "./counters.ts";
import { badRequest, errors, failure, isOutage, publicFault, RateFault } from "./errors.ts";
import { countInMinute, type Limits } from "./limits.ts";
import { CreateRoom, isJsonObject, newMessage, SeenMessages, StopTyping, Typing, VerifyUser } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { Presence } from "./presence.ts";
import { sideOf } from "./room-name.ts";
import type { RoomViews } from "./room-views.ts";
import { type ChatPeer, type Session, userTopic } from "./session.ts";
import type { ConversationsSettings } from "./settings.ts";

const EVENTS = "/v1/conversations/events";

/** Close codes of section 7. */
export const TOO_FAST = 4429;
const UNVERIFIED = 4500;
const TOO_MANY_REFUSALS = 4509;
/** Events over the rate in a minute after which the transport is closed (V-7.11). */
const MAX_EXCESSES = 200;

/** What the endpoint works with. */
export interface EndpointParts {
  readonly settings: ConversationsSettings;
  readonly cors: CorsPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly admission: Admission;
  readonly presence: Presence;
  readonly companions: Companions;
  readonly conversations: Conversations;
  readonly views: RoomViews;
  readonly notices: Notices;
  readonly limits: Limits;
  readonly counters: Counters;
  /** Namespaces beside the chat. */
  readonly others: Readonly<Record<string, NamespaceDeclaration<never>>>;
}

/** The Socket.IO endpoint (sections 1, 4 and 7). */
export function endpoint(parts: EndpointParts): SocketIoEndpoint {
  const { settings, cors } = parts;
  return socketio({
    path: "/v1/conversations/sockets",
    revisions: [3, 4],
    transports: (["polling", "websocket"] as const).filter((name) => settings.transports.includes(name)),
    cors,
    pingInterval: 25_000,
    pingTimeout: 20_000,
    connectTimeout: settings.connectTimeoutS,
    maxMessageBytes: settings.maxFrameBytes,
    maxOutboxBytes: settings.maxOutgoingBytes,
    // All that the rate lets through may wait, and what comes while the store is slow for ten seconds.
    maxInbox: settings.eventsBurst + 10 * settings.eventsPerSecond,
    namespaces: { [EVENTS]: chat(parts), ...parts.others },
  });
}

function chat(parts: EndpointParts): NamespaceDeclaration<never> {
  const { settings, admission, presence, companions, conversations, views, notices, limits, counters, clock, log } =
    parts;

  /** Tells the emitting socket what went wrong (V-4.5), and puts out who does too much of it (V-7.12). */
  const refuse = (peer: ChatPeer, name: string, fault: Fault, raw: unknown, acknowledge: Acknowledge) => {
    answerFailure(peer, name, fault, raw, acknowledge);
    if (countInMinute(peer.session.refusals, clock) <= settings.badEventsPerMinute) return;
    log.info({ user: peer.session.user.id }, "put out for refused events");
    peer.expel(TOO_MANY_REFUSALS);
  };

  /** Declares an event whose payload is checked here, since limits come first (V-4.8) and answers name the field. */
  const on = <const Schema extends v.GenericSchema>(
    name: string,
    schema: Schema,
    run: (peer: ChatPeer, input: v.InferOutput<Schema>, answer: (more?: object) => void) => Promise<void>,
    limit?: (peer: ChatPeer) => Promise<void>,
  ): EventHandler<Session> =>
    event<Session, v.GenericSchema<unknown>>(
      v.unknown(),
      async (peer, raw, acknowledge) => {
        try {
          await limit?.(peer);
          await run(peer, read(schema, raw), (more) => acknowledge({ status: true, ...more }));
          counters.event(name, "ok");
        } catch (error) {
          const fault = publicFault(error);
          const { id: user } = peer.session.user;
          if (fault.code === "INTERNAL") log.error({ event: name, user, error }, "event failed");
          else if (isOutage(error)) log.warn({ event: name, user, error }, "event not served");
          else log.debug({ event: name, user, code: fault.code, ...references(raw) }, "event refused");
          counters.event(name, fault.code);
          refuse(peer, name, fault, raw, acknowledge);
        }
      },
      () => {},
    );

  return namespace<Session>({
    mounted: (space) => notices.mounted(space),
    authenticate: (handshake) => admission.authenticate(handshake),
    async joined(peer) {
      admission.arrived(peer);
      const { user, role, first } = peer.session;
      await peer.socket.join(userTopic(user.id));
      if (first) await companions.announce(user.id, true);
      await companions.sendActiveUsers(user.id, role);
    },
    on: {
      create_room: on("create_room", CreateRoom, async (peer, wish, answer) => {
        const creation = await conversations.createBySocket(peer, wish);
        await conversations.introduceNew(creation, wish.creator);
        answer({ room: await views.one(creation.room, sideOf(creation.room, wish.creator)!) });
      }),
      new_message: on(
        "new_message",
        newMessage(settings.maxContentChars),
        async (peer, wish, answer) => {
          const { message, duplicate } = await conversations.send(peer, wish);
          answer({ message, ...(duplicate && { duplicate }) });
        },
        (peer) => limits.message(peer.session.user.id),
      ),
      typing: on("typing", Typing, async (peer, wish, answer) => {
        await conversations.typing(peer, "typing", wish);
        answer();
      }),
      stop_typing: on("stop_typing", StopTyping, async (peer, wish, answer) => {
        await conversations.typing(peer, "stop_typing", wish);
        answer();
      }),
      seen_messages: on("seen_messages", SeenMessages, async (peer, wish, answer) => {
        const { unseen } = await conversations.seen(peer, wish);
        answer({ unseen });
      }),
      verify_user: on("verify_user", VerifyUser, async (peer, wish, answer) => {
        const status = await admission.renew(peer, wish);
        peer.emit("verify_user", { status });
        if (status) return answer();
        answer(failure(errors.fault("UNAUTHORIZED")));
        log.info({ user: peer.session.user.id }, "put out for a wrong verification");
        peer.expel(UNVERIFIED);
      }),
      get_active_users: on("get_active_users", Nothing, async (peer, _payload, answer) => {
        const { user, role } = peer.session;
        peer.emit("active_user_list", await companions.activeUsers(user.id, role));
        answer();
      }),
    },
    numericNames: "unknown",
    reservedNames: "close",
    unknown(peer, name, args, acknowledge) {
      counters.event("other", "UNKNOWN_EVENT");
      refuse(peer, name, errors.fault("UNKNOWN_EVENT"), args[0], acknowledge);
    },
    rate: { perSecond: settings.eventsPerSecond, burst: settings.eventsBurst },
    limited(peer, name, wait, acknowledge, [raw]) {
      counters.event("other", "RATE_LIMITED");
      answerFailure(peer, name, new RateFault(wait), raw, acknowledge);
      if (countInMinute(peer.session.excesses, clock) <= MAX_EXCESSES) return;
      log.info({ user: peer.session.user.id }, "dropped for its rate");
      peer.drop(TOO_FAST);
    },
    async left(peer, reason) {
      admission.gone(peer, reason);
      const { user, connection } = peer.session;
      await presence.leave(user.id, connection, (gone) => void companions.announce(gone, false));
    },
  });
}

/** The schema of an event whose payload does not matter. */
const Nothing = v.unknown();

/** Checks a payload: one JSON object (V-4.1). Throws `BAD_REQUEST` with the first field that does not fit. */
function read<const Schema extends v.GenericSchema>(schema: Schema, raw: unknown): v.InferOutput<Schema> {
  if (schema.type === Nothing.type) return raw;
  if (!isJsonObject(raw)) throw badRequest("body");
  const result = v.safeParse(schema, raw, { abortEarly: true });
  if (result.success) return result.output;
  throw badRequest(String(result.issues[0].path?.[0]?.key ?? "body"));
}

/** By acknowledgement if one was asked for, else as `error_message` (V-4.4, V-4.5). */
function answerFailure(peer: ChatPeer, event: string, fault: Fault, raw: unknown, acknowledge: Acknowledge): void {
  const answer = { ...failure(fault), ...(fault instanceof RateFault && { retry_after_ms: fault.wait }) };
  const { status: _, ...told } = answer;
  if (acknowledge === unwanted) peer.emit("error_message", { event, ...told, ...references(raw) });
  else acknowledge(answer);
}

/** What tells a client which of its events is meant. */
function references(raw: unknown): { room_id?: string; client_message_id?: string } {
  const { room_id, client_message_id } = isJsonObject(raw) ? raw : {};
  return {
    ...(isShortText(room_id) && { room_id }),
    ...(isShortText(client_message_id) && { client_message_id }),
  };
}

const isShortText = (value: unknown): value is string => typeof value === "string" && value.length <= 130;
