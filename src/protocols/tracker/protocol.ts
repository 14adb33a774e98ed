import { previousSecret } from "../../accounts/previous-secret.ts";
import { createVerifier } from "../../accounts/verifier.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import { type Core, defineProtocol, type Surface } from "../protocol.ts";
import { Admission } from "./admission.ts";
import { Counters } from "./counters.ts";
import { endpoint } from "./endpoint.ts";
import { firstConversation } from "./first-conversation.ts";
import { Guesses } from "./guesses.ts";
import { Identity } from "./identity.ts";
import { Limits } from "./limits.ts";
import { accessClaims, Logins } from "./logins.ts";
import { Members, newMemberState } from "./members.ts";
import { Notices } from "./notices.ts";
import { newPositionState, Positions } from "./positions.ts";
import { Presence } from "./presence.ts";
import { rest } from "./rest.ts";
import { Resumption } from "./resumption.ts";
import { Rooms } from "./rooms.ts";
import type { TrackerPeer } from "./session.ts";
import { checkSettings, type TrackerSettings, trackerSection } from "./settings.ts";
import { Tracker } from "./tracker.ts";

/** Between two looks for rooms and tokens that ended: well inside the two seconds of T-6.5. */
const SWEEP_INTERVAL = 1000;

/** The tracker: people share their positions in a room named by a PIN. SPEC.md is its contract. */
export const tracker = defineProtocol({
  name: "tracker",
  settings: trackerSection,
  check: checkSettings,
  build,
  firstConversation,
  token: { secret: (settings) => settings.jwtSecret, claims: accessClaims },
});

function build(core: Core<TrackerSettings>): Surface {
  const { settings, gateway, backplane, accounts, clock, log } = core;
  if (!settings.enabled) return {};
  const cors: CorsPolicy = {
    origins: settings.origins,
    methods: ["GET", "POST"],
    headers: "echo",
    credentials: true,
    wildcard: "literal",
    maxAge: 600,
    preflight: { status: 200, body: "OK" },
  };
  const maxSockets = Math.min(settings.maxSocketsPerUser, gateway.maxConnectionsPerUser || Number.POSITIVE_INFINITY);

  const counters = new Counters(core.metrics);
  const identity = new Identity(verifier(core), { accounts, clock }, settings);
  const rooms = new Rooms({ backplane, clock }, { ttl: settings.roomTtl, maxPerOwner: settings.maxPinsPerUser });
  const positions = new Positions({ rooms, clock, log }, core.keep("positions", newPositionState));
  const notices = new Notices(settings.legacyRoomMessage);
  const presence = new Presence({ backplane, log }, maxSockets);
  const members = new Members({ rooms, clock, topics: backplane.topics }, core.keep("members", newMemberState));
  const guesses = new Guesses(backplane.tallies, {
    perAccount: settings.joinFailsUser,
    perAddress: settings.joinFailsIp,
    window: settings.joinWindow,
  });
  const resumption = new Resumption({ records: backplane.records, clock }, settings.resumeSeconds);
  const admission = new Admission(
    { identity, presence, counters, clock, log },
    { cors, grace: settings.tokenGrace },
    core.keep("peers", () => new Set<TrackerPeer>()),
  );
  const domain = new Tracker(
    { log, rooms, members, positions, guesses, resumption, presence, notices, counters },
    { maxRooms: settings.maxRoomsPerSocket, replay: settings.replayLast },
  );

  return {
    rest: rest({
      identity,
      rooms,
      limits: new Limits(backplane.tallies, counters),
      backplane,
      accounts,
      logins: logins(core),
      cors,
      pinRate: settings.pinRate,
    }),
    sockets: [endpoint({ settings, cors, clock, log, admission, tracker: domain, notices, counters })],
    tasks: [
      { name: "end rooms", every: SWEEP_INTERVAL, run: () => members.expire() },
      { name: "end sockets of expired tokens", every: SWEEP_INTERVAL, run: () => admission.sweep() },
    ],
    async close() {
      members.close();
      await domain.close();
      await positions.close();
    },
  };
}

function verifier({ settings, clock }: Core<TrackerSettings>) {
  return createVerifier({
    clock,
    secret: settings.jwtSecret,
    previous: previousSecret(settings),
    jwksUrl: settings.jwksUrl,
    jwksCooldown: settings.jwksCooldown,
    issuer: settings.jwtIssuer,
    audience: settings.jwtAudience,
    clockSkew: settings.clockSkew,
  });
}

/** The logins, if this installation has any: access tokens of its own need a secret to sign them with. */
function logins({ settings, accounts, clock, log }: Core<TrackerSettings>): Logins | null {
  const { jwtSecret: accessSecret, refreshSecret, accessTtl, refreshTtl, hideUsers } = settings;
  if (!settings.accounts || refreshSecret === undefined) return null;
  if (accessSecret === undefined) {
    log.warn({}, "accounts routes are not served: without TRACKER_JWT_SECRET there is nothing to sign tokens with");
    return null;
  }
  return new Logins({ accounts, clock }, { accessSecret, refreshSecret, accessTtl, refreshTtl, hideUsers });
}
