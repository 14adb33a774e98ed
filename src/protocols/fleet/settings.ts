import * as v from "valibot";
import { NODE_LEASE } from "../../backplane/backplane.ts";
import {
  days,
  flag,
  integer,
  keptSecret,
  list,
  milliseconds,
  origins,
  type Setting,
  seconds,
  secret,
  section,
  text,
  url,
  type Values,
} from "../../config/setting.ts";

/** Kinds of events that the gateway itself knows, and the eid each has unless the operator says otherwise (F-9.10). */
const defaultEventIds = {
  io: 3846,
  msg: 3951,
  "msg-prd": 25106,
  form: 33,
  "card-in": 45,
  "card-out": 46,
  battery: 9001,
  power: 9002,
  motion: 9003,
  "motion-no-driver": 9004,
} as const;

export type EventKind = keyof typeof defaultEventIds;

/** Event ids by kind; further keys are `alarm:<name>`. */
export type EventIds = Readonly<Record<EventKind, number> & Record<string, number>>;

const eventId = v.pipe(v.number(), v.safeInteger());

/** A JSON object that is laid over the defaults, so that naming one kind leaves the others as they are. */
const eventIds: Setting<EventIds> = {
  schema: v.pipe(
    v.string(),
    v.parseJson(undefined, "expected a JSON object"),
    v.record(v.string(), eventId, 'expected a JSON object such as {"io":3846,"alarm:sos":9100}'),
    v.check(
      (ids) => Object.keys(ids).every((key) => key in defaultEventIds || key.startsWith("alarm:")),
      `expected keys among ${Object.keys(defaultEventIds).join(", ")} and alarm:<name>`,
    ),
    v.transform((ids): EventIds => ({ ...defaultEventIds, ...ids })),
  ),
  fallback: JSON.stringify(defaultEventIds),
  meaning: "Event ids by kind, as JSON. Keys alarm:<name> make further alarms stored.",
  secret: false,
};

/** Section 9 of the contract. */
export const fleetSection = section("FLEET", {
  root: flag(true, "Serve the client socket at / as well, to clients that send no token parameter."),
  ingress: list(
    "device,osmand,traccar",
    "Comma list of the doors for devices: device, osmand, traccar; none shuts all.",
  ),
  origins: origins("*", "Comma list of allowed origins of browsers, or * for all."),
  restPrefixes: list("/ws", "Comma list of path prefixes of the user REST; /ws is always served."),
  osmandPort: integer(0, "A port of its own for the OsmAnd protocol, at /; 0 opens none.", { max: 65535 }),
  adminToken: keptSecret("Bearer token of the administration routes on the internal port."),
  traccarSecret: secret("Bearer token with which Traccar forwards. Without it that door stays shut."),
  jwtSecret: secret("HS256 secret of the JWTs that the user REST takes."),
  jwksUrl: url("Published keys (JWKS) of the issuer of those JWTs."),
  jwtUserClaim: text("sub", "Claim that holds the user_id."),
  sessionTtlS: seconds(86_400, "Seconds a SESSID lives.", { min: 1 }),
  authTimeoutS: seconds(10, "Seconds a socket may take until it has authenticated.", { min: 0.1 }),
  authFailuresPerMinute: integer(20, "Failed logins of one address in a minute before it is turned away.", { min: 1 }),
  restPerSecond: integer(10, "REST requests a user may make in a second.", { min: 1 }),
  commandsPerSecond: integer(10, "Requests a client socket may make in a second; five times that at once.", { min: 1 }),
  badFramesPerMinute: integer(30, "Faulty frames of a socket in a minute before it is closed.", { min: 1 }),
  maxFrameBytes: integer(65_536, "Largest frame of a client in bytes.", { min: 1024, max: 16_777_216 }),
  deviceMaxFrameBytes: integer(262_144, "Largest frame of a device in bytes.", { min: 1024, max: 16_777_216 }),
  maxOutgoingBytes: integer(1_048_576, "Bytes that may wait for a slow reader.", { min: 65_536, max: 4_194_304 }),
  maxBodyBytes: integer(1_048_576, "Largest body of an HTTP request in bytes.", { min: 1024, max: 16_777_216 }),
  maxSocketsPerUser: integer(50, "Client sockets a user may have over all nodes.", { min: 1 }),
  pingS: seconds(30, "Seconds between pings.", { min: 1, max: 3600 }),
  leaseS: seconds(15, "Seconds the links of a node that fell silent count as connected.", {
    min: NODE_LEASE / 1000,
    max: 3600,
  }),
  linkGraceS: seconds(0, "Seconds a device link may be gone before its unit counts as disconnected.", { max: 3600 }),
  maxRows: integer(50_000, "Rows of one history answer.", { min: 1 }),
  maxRangeDays: days(31, "Longest span of a history request in days.", { min: 0.001 }),
  historyDays: days(90, "Days after which records and events are removed; 0 keeps them."),
  messageDays: days(90, "Days after which messages to drivers are removed; 0 keeps them."),
  commands: list("getio", "Comma list of the first words of commands that users may send to units."),
  commandTimeoutS: seconds(15, "Seconds a unit has to answer a command.", { min: 0.1, max: 3600 }),
  commandQueueTtlS: seconds(0, "Seconds a command may wait for the next OsmAnd report of a unit; 0 lets none wait."),
  messageTtlS: seconds(604_800, "Seconds a message may wait until the driver's app has it.", { min: 1 }),
  eventIds,
  eventSource: text("tlk-server", "`src` of every event."),
  ioIgnition: integer(1, "Number of the input that stands for the ignition."),
  ioOutputBase: integer(100, "Added to the numbers of outputs."),
  ioAnalogBase: integer(200, "Added to the numbers of analog inputs."),
  batchMs: milliseconds(5, "Milliseconds a report waits for others to be stored with.", { max: 1000 }),
  coalesceMs: milliseconds(0, "Milliseconds in which HTTP reports of a unit become one records frame; 0 joins none.", {
    max: 60_000,
  }),
  maxFutureS: seconds(600, "Seconds that a report's time may lie ahead.", { max: 86_400 }),
  autoRegister: flag(false, "Make a unit of whatever reports through Traccar or OsmAnd."),
  traccarUrl: url("Traccar server through which commands go to units without a device link."),
  traccarToken: secret("Bearer token for that server."),
  traccarQueue: flag(false, "Let Traccar keep commands for devices that are offline."),
});

export type FleetSettings = Values<typeof fleetSection>;

const doors = ["device", "osmand", "traccar"];

/** What only shows across settings. */
export function checkSettings(settings: FleetSettings) {
  const unknown = settings.ingress.filter((door) => !doors.includes(door));
  if (unknown.length === 0) return [];
  return [
    {
      setting: "FLEET_INGRESS",
      fault: `has no door ${unknown[0]}`,
      remedy: `choose among ${doors.join(", ")}, or none`,
    },
  ];
}
