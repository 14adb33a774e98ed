import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import { type RawEndpoint, rawsocket } from "../../rawsocket/endpoint.ts";
import type { Admission } from "./admission.ts";
import { errorAnswer } from "./answers.ts";
import { closes } from "./closes.ts";
import type { Connections } from "./connections.ts";
import type { Counters } from "./counters.ts";
import { errors } from "./errors.ts";
import { Answerable, Command } from "./messages.ts";
import type { Sending } from "./sending.ts";
import { type ChatChannel, lastFrame, type Session, shut, type UserChannel } from "./session.ts";
import type { ChatSettings } from "./settings.ts";

const PATH = "/chat/ws";

/** What the endpoint works with. */
export interface EndpointParts {
  readonly settings: ChatSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly sending: Sending;
  readonly counters: Counters;
}

/** The WebSocket endpoint (sections 1, 4, 7 and 8). */
export function endpoint({ settings, clock, log, ...parts }: EndpointParts): RawEndpoint<unknown> {
  const { admission, connections, sending, counters } = parts;

  function received(channel: UserChannel, frame: string | Uint8Array): void | Promise<void> {
    // What is left of a socket that was ended is handled only where a newer one takes the answers (C-6.12).
    if (!channel.open && !channel.session.replaced) return;
    channel.session.heard = clock.elapsed();
    const value = typeof frame === "string" ? parsed(frame) : undefined;
    const command = v.safeParse(Command, value);
    if (!command.success) refuseFrame(channel, value);
    else if (command.output.type === "SendMessage") return sending.handle(channel, command.output.data);
    else return admission.renew(channel, command.output.data.token);
  }

  /** The answer to a frame that is not understood, with a confirmation if it names the message it is about. */
  function refuseFrame(channel: UserChannel, value: unknown): void {
    counters.sent("malformed");
    const named = v.safeParse(Answerable, value);
    if (named.success) {
      connections.confirm(channel, { tempId: named.output.data.message_temp_id, reason: "bad message structure" });
    }
    shut(channel, closes.badFrame);
  }

  return rawsocket<Session | undefined>({
    name: "chat",
    paths: ["/", PATH],
    claims: (url) => isOurs(url, settings.root),
    plainHttp: ({ url }) => (new URL(url).pathname === "/" ? null : errorAnswer(errors.fault("upgrade_required"))),
    subprotocols: ["patchbay.chat"],
    arriving: (channel, request) => admission.arriving(channel, request),
    opened() {
      // A good connection is silent (C-5.8).
    },
    received: (channel, frame) => received(channel as UserChannel, frame),
    oversize: (channel) => shut(channel, closes.badFrame),
    closed: (channel) => admission.left(channel),
    failed(channel: ChatChannel, error) {
      log.error({ error }, "socket failed");
      shut(channel, closes.serverError);
    },
    limits: {
      maxFrameBytes: settings.maxFrameBytes,
      maxOutboxBytes: settings.sendBufferBytes,
      maxInbox: settings.queueMax,
      pingInterval: settings.pingSeconds,
      pongTimeout: 2 * settings.pingSeconds,
    },
    closes: { slowReader: closes.lost, noPong: closes.lost, drain: closes.drain, full: closes.serverError, lastFrame },
  });
}

/** Whether a request is for the chat (C-1.3). Others that take `/` stand before the chat in the list of protocols. */
function isOurs({ pathname, searchParams }: URL, root: ChatSettings["root"]): boolean {
  if (pathname !== "/") return true;
  return root === "auto" || (root === "token" && searchParams.has("token"));
}

/** The JSON of a frame; undefined when it is none. */
function parsed(frame: string): unknown {
  try {
    return JSON.parse(frame);
  } catch {
    return undefined;
  }
}
