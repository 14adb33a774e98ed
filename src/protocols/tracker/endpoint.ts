import type { Clock } from "../../clock.ts";
import type { Fault } from "../../errors.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import { type Acknowledge, event, namespace, type SocketIoEndpoint, socketio } from "../../socketio/endpoint.ts";
import type { Admission } from "./admission.ts";
import type { Counters } from "./counters.ts";
import { details, errors, publicFault } from "./errors.ts";
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
            (peer, pin, acknowledge) => answer(peer, acknowledge, tracker.join(peer, pin)),
            invalid,
          ),
          leave_room: event(
            RoomId,
            (peer, pin, acknowledge) => answer(peer, acknowledge, tracker.leave(peer, pin)),
            invalid,
          ),
          move: event(
            Move,
            (peer, move, acknowledge) => {
              // A member's move is done on the spot, without a promise.
              const waiting = tracker.move(peer, move);
              if (waiting) return answer(peer, acknowledge, waiting);
              succeed(peer, acknowledge);
            },
            invalid,
          ),
          renew_token: event(
            Token,
            (peer, token, acknowledge) => answerRenewal(acknowledge, admission.renew(peer, token)),
            (_peer, acknowledge) => acknowledge(failure(errors.fault("invalid_data"))),
          ),
        },
        rate: { perSecond: settings.eventRate, burst: settings.eventBurst },
        limited(peer, _event, wait, acknowledge) {
          counters.throttled("events");
          const fault = limitFault(wait);
          const silent = clock.elapsed() - peer.session.toldAt < TELL_INTERVAL;
          if (!silent) {
            peer.session.toldAt = clock.elapsed();
            tell(peer, fault);
          }
          decline(peer, fault, acknowledge);
        },
        failed(peer, name, error, acknowledge) {
          log.error({ event: name, error }, "event failed");
          refuse(peer, errors.fault("service_unavailable"), acknowledge);
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

/** Waits for what a client asked for and answers it. Rejects with what no client is told. */
function answer(peer: TrackerPeer, acknowledge: Acknowledge, work: Promise<void>): Promise<void> {
  return settle(
    work,
    () => succeed(peer, acknowledge),
    (fault) => refuse(peer, fault, acknowledge),
  );
}

/** A renewal answers by its acknowledgement alone, and the same to every client (T-2.27). */
function answerRenewal(acknowledge: Acknowledge, work: Promise<void>): Promise<void> {
  return settle(
    work,
    () => acknowledge({ ok: true }),
    (fault) => acknowledge(failure(fault)),
  );
}

async function settle(work: Promise<void>, succeeded: () => void, refused: (fault: Fault) => void): Promise<void> {
  try {
    await work;
  } catch (error) {
    const fault = publicFault(error);
    if (!fault) throw error;
    refused(fault);
    return;
  }
  succeeded();
}

/** `error` to the caller, then the acknowledgement (T-4.4). */
function refuse(peer: TrackerPeer, fault: Fault, acknowledge: Acknowledge): void {
  tell(peer, fault);
  decline(peer, fault, acknowledge);
}

function tell(peer: TrackerPeer, fault: Fault): void {
  const more = peer.session.detailed && fault.retryAfter !== undefined ? { retry_after: fault.retryAfter } : {};
  peer.emit("error", { details: { ...details(fault), ...more } } satisfies ErrorNotice);
}

/** Acknowledgements are empty, but for clients that asked for more (T-4.4, T-10.2). */
function succeed(peer: TrackerPeer, acknowledge: Acknowledge): void {
  if (peer.session.detailed) acknowledge({ ok: true });
  else acknowledge();
}

function decline(peer: TrackerPeer, fault: Fault, acknowledge: Acknowledge): void {
  if (peer.session.detailed) acknowledge(failure(fault));
  else acknowledge();
}

const failure = (fault: Fault) => ({ ok: false, error: details(fault) });
