import type { Clock } from "../../clock.ts";
import type { Fault } from "../../errors.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import { type Acknowledge, event, namespace, type SocketIoEndpoint, socketio } from "../../socketio/endpoint.ts";
import type { Admission } from "./admission.ts";
import type { Counters } from "./counters.ts";
import { details, errors, isOutage } from "./errors.ts";
import { limitFault } from "./limits.ts";
import { type ErrorNotice, Move, RoomId, Token } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { Session, TrackerPeer } from "./session.ts";
import type { TrackerSettings } from "./settings.ts";
import type { Tracker } from "./tracker.ts";

/** Milliseconds between two `rate_limit_exceeded` to one socket (T-4.17). */
const TELL_INTERVAL = 1000;

/** What the endpoint works with. */
export interface EndpointParts {
  readonly settings: TrackerSettings;
  readonly cors: CorsPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly admission: Admission;
  readonly tracker: Tracker;
  readonly notices: Notices;
  readonly counters: Counters;
}

/** The Socket.IO endpoint (sections 1, 4 and 7). */
export function endpoint({ settings, cors, clock, log, ...parts }: EndpointParts): SocketIoEndpoint {
  const { admission, tracker, notices, counters } = parts;
  const invalid = (peer: TrackerPeer, acknowledge: Acknowledge) =>
    refuse(peer, errors.fault("invalid_data"), acknowledge);
  return socketio({
    path: "/track-sio/sio",
    revisions: settings.eio3 ? [3, 4] : [4],
    transports: ["polling", "websocket"],
    cors,
    pingInterval: 25_000,
    pingTimeout: 20_000,
    connectTimeout: 10_000,
    maxMessageBytes: settings.maxMessageBytes,
    maxOutboxBytes: settings.sendBufferBytes,
    // All that the rate lets through may wait, and what comes while the store is slow for ten seconds.
    maxInbox: settings.eventBurst + 10 * settings.eventRate,
    namespaces: {
      "/": namespace<Session>({
        mounted: (space) => notices.mounted(space),
        authenticate: (handshake) => admission.authenticate(handshake),
        async joined(peer) {
          admission.arrived(peer);
          await tracker.resume(peer);
        },
        on: {
          join_room: event(
            RoomId,
            async (peer, pin, acknowledge) => {
              await tracker.join(peer, pin);
              succeed(peer, acknowledge);
            },
            invalid,
          ),
          leave_room: event(
            RoomId,
            async (peer, pin, acknowledge) => {
              await tracker.leave(peer, pin);
              succeed(peer, acknowledge);
            },
            invalid,
          ),
          move: event(
            Move,
            (peer, move, acknowledge) => {
              // Not an async function: a member's move is done before the next one is looked at, without a promise.
              const waiting = tracker.move(peer, move);
              if (waiting) return waiting.then(() => succeed(peer, acknowledge));
              succeed(peer, acknowledge);
            },
            invalid,
          ),
          renew_token: event(
            Token,
            async (peer, token, acknowledge) => {
              await admission.renew(peer, token);
              acknowledge({ ok: true });
            },
            (_peer, acknowledge) => acknowledge(failure(errors.fault("invalid_data"))),
          ),
        },
        rate: { perSecond: settings.eventRate, burst: settings.eventBurst },
        limited(peer, _event, wait) {
          counters.throttled("events");
          if (clock.now() - peer.session.toldAt < TELL_INTERVAL) return;
          peer.session.toldAt = clock.now();
          refuse(peer, limitFault(wait));
        },
        failed(peer, name, error, acknowledge) {
          const fault = errors.owns(error) ? error : errors.fault("service_unavailable");
          if (!errors.owns(error) && !isOutage(error)) log.error({ event: name, error }, "event failed");
          // A renewal answers by its acknowledgement alone (T-2.27).
          if (name === "renew_token") acknowledge(failure(fault));
          else refuse(peer, fault, acknowledge);
        },
        async left(peer, reason) {
          counters.closed(reason);
          admission.gone(peer);
          await tracker.left(peer, reason);
        },
      }),
    },
  });
}

/** The acknowledgement of a success: empty, but for clients that asked for more (T-4.4, T-10.2). */
function succeed(peer: TrackerPeer, acknowledge: Acknowledge): void {
  if (peer.session.detailed) acknowledge({ ok: true });
  else acknowledge();
}

/** `error` to the caller, then the acknowledgement (T-4.4, T-10.2). */
function refuse(peer: TrackerPeer, fault: Fault, acknowledge?: Acknowledge): void {
  const { detailed } = peer.session;
  const more = detailed && fault.retryAfter !== undefined ? { retry_after: fault.retryAfter } : {};
  peer.emit("error", { details: { ...details(fault), ...more } } satisfies ErrorNotice);
  if (detailed) acknowledge?.(failure(fault));
  else acknowledge?.();
}

const failure = (fault: Fault) => ({ ok: false, error: details(fault) });
