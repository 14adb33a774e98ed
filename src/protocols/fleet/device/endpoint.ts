import * as v from "valibot";
import type { Clock } from "../../../clock.ts";
import { type CorsPolicy, originAllowed } from "../../../http/cors.ts";
import type { Log } from "../../../observe/log.ts";
import { type RawEndpoint, rawsocket } from "../../../rawsocket/endpoint.ts";
import { countIn, newWindow } from "../client/session.ts";
import type { Parked } from "../commands/parked.ts";
import type { Counters } from "../counters.ts";
import type { Mailbox } from "../driver/mailbox.ts";
import { closes, isOutage } from "../errors.ts";
import { matchesHash } from "../secrets.ts";
import type { FleetSettings } from "../settings.ts";
import { isSound, isSoundJson, jsonObject } from "../sound.ts";
import type { Directory, Unit } from "../units/directory.ts";
import type { Connections } from "./connections.ts";
import type { DriverFrames } from "./driver-frames.ts";
import type { DeviceChannel, DeviceSession, Links, Role } from "./links.ts";
import { DriverFrame, Hello, NamedSeq, TrackerFrame } from "./messages.ts";
import type { Rejected, TrackerFrames } from "./tracker-frames.ts";

/** Milliseconds until the first frame must be there (F-12.30). */
const HELLO_TIMEOUT = 10_000;
const PONG_TIMEOUT = 10_000;
/** Downward frames are small, but a driver's app may have a week of messages waiting. */
const MAX_OUTBOX = 4_194_304;

/** What the device link works with. */
export interface DeviceParts {
  readonly settings: FleetSettings;
  readonly cors: CorsPolicy;
  readonly directory: Directory;
  readonly links: Links;
  readonly connections: Connections;
  readonly trackers: TrackerFrames;
  readonly drivers: DriverFrames;
  readonly mailbox: Mailbox;
  readonly parked: Parked;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/** The JSON device link (F-12.30 to F-12.42). */
export function deviceEndpoint(parts: DeviceParts): RawEndpoint<unknown> {
  const { settings, counters, links, connections, cors } = parts;
  return rawsocket<DeviceSession>({
    name: "devices",
    paths: ["/fleet/device"],
    opened(channel, request) {
      channel.session = { link: null, faults: newWindow() };
      if (!originAllowed(cors, request.headers.get("origin"))) {
        channel.close(closes.origin.code, closes.origin.reason);
        return;
      }
      channel.after(HELLO_TIMEOUT, () => {
        if (!channel.session.link) channel.close(closes.noAuth.code, closes.noAuth.reason);
      });
    },
    received: (channel, frame) => received(parts, channel, frame),
    async closed(channel, end) {
      if (end.by === "server") counters.closed("device", end.code);
      const link = await links.leave(channel);
      if (link) connections.left(link.uid, link.role);
    },
    failed(channel, error) {
      // Unacknowledged frames come again, so a device is sent away to come back rather than left in the dark.
      if (!isOutage(error)) parts.log.error({ error }, "a device's frame failed");
      channel.close(closes.shutdown.code, "Try again later");
    },
    limits: {
      maxFrameBytes: settings.deviceMaxFrameBytes,
      maxOutboxBytes: MAX_OUTBOX,
      maxInbox: 64,
      pingInterval: settings.pingS,
      pongTimeout: PONG_TIMEOUT,
    },
    closes: { slowReader: closes.slowReader, noPong: closes.noPong, drain: closes.shutdown, full: closes.full },
  });
}

async function received(parts: DeviceParts, channel: DeviceChannel, frame: string | Uint8Array): Promise<void> {
  const text = typeof frame === "string" ? frame : "";
  const value = jsonObject(text);
  const { link } = channel.session;
  if (!link) return hello(parts, channel, value);
  if (!value || !isSoundJson(text, value)) return faulty(parts, channel, value, "not a sound JSON object");
  const unit = await parts.directory.byUid(link.uid);
  if (!unit) return channel.close(closes.refused.code, closes.refused.reason);
  const done = link.role === "tracker" ? tracker(parts, unit, value) : driver(parts, unit, value);
  if (done === "ping") return channel.send('{"t":"pong"}');
  if (done === "bad") return faulty(parts, channel, value, "unknown frame or field of a wrong type");
  const rejected = await done;
  const seq = seqOf(value);
  if (seq !== undefined) channel.send(JSON.stringify({ t: "ack", seq, ...(rejected.length > 0 ? { rejected } : {}) }));
}

function tracker(
  { trackers, clock }: DeviceParts,
  unit: Unit,
  value: unknown,
): Promise<readonly Rejected[]> | "ping" | "bad" {
  const frame = v.safeParse(TrackerFrame, value);
  if (!frame.success) return "bad";
  return frame.output.t === "ping" ? "ping" : trackers.take(unit, frame.output, clock.now());
}

function driver(
  { drivers, clock }: DeviceParts,
  unit: Unit,
  value: unknown,
): Promise<readonly Rejected[]> | "ping" | "bad" {
  const frame = v.safeParse(DriverFrame, value);
  if (!frame.success) return "bad";
  return frame.output.t === "ping" ? "ping" : drivers.take(unit, frame.output, clock.now());
}

/** The first frame: who is this? A wrong key and an unknown unit look the same (F-2.16). */
async function hello(parts: DeviceParts, channel: DeviceChannel, value: unknown): Promise<void> {
  const { directory, links, connections, mailbox, parked, clock } = parts;
  const asked = v.safeParse(Hello, value);
  const unit = asked.success && isSound(value) ? await directory.byUniqueId(asked.output.unit) : null;
  if (!asked.success || !unit || !opens(unit, asked.output.role, asked.output.key ?? null)) {
    const denied = JSON.stringify({ t: "error", code: "denied", message: "Unknown unit or wrong key" });
    return channel.close(closes.refused.code, closes.refused.reason, denied);
  }
  const { uid } = unit;
  const { role } = asked.output;
  await links.enter(channel, { uid, role, since: clock.now() });
  if (!channel.open) return;
  channel.send(JSON.stringify({ t: "welcome", uid }));
  await connections.came(uid, role);
  if (role === "pnd") await mailbox.welcome(uid);
  else await parked.reported(uid, false);
}

/** A key that is not set is matched by none. */
function opens(unit: Unit, role: Role, key: string | null): boolean {
  const hash = role === "tracker" ? unit.key : unit.pndKey;
  if (hash === null || key === null) return hash === null && key === null;
  return matchesHash(key, hash);
}

function faulty({ settings, clock }: DeviceParts, channel: DeviceChannel, value: unknown, message: string): void {
  const seq = seqOf(value);
  channel.send(JSON.stringify({ t: "error", ...(seq === undefined ? {} : { seq }), code: "bad-frame", message }));
  if (countIn(channel.session.faults, clock.elapsed()) > settings.badFramesPerMinute) {
    channel.close(closes.faulty.code, closes.faulty.reason);
  }
}

function seqOf(value: unknown): number | undefined {
  const named = v.safeParse(NamedSeq, value);
  return named.success ? named.output.seq : undefined;
}
