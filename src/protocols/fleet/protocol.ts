import { createVerifier } from "../../accounts/verifier.ts";
import { NODE_LEASE } from "../../backplane/backplane.ts";
import { trustedProxies } from "../../http/address.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import { type Core, defineProtocol, type Surface } from "../protocol.ts";
import { adminRoutes } from "./admin/admin.ts";
import { commands } from "./cli/commands.ts";
import { clientEndpoints } from "./client/endpoint.ts";
import { Requests } from "./client/requests.ts";
import type { ClientChannel } from "./client/session.ts";
import { Snapshot } from "./client/snapshot.ts";
import { Watchers } from "./client/watchers.ts";
import { Answers } from "./commands/answers.ts";
import { Audit } from "./commands/audit.ts";
import { Commander } from "./commands/commander.ts";
import { NodeCalls } from "./commands/node-calls.ts";
import { Parked } from "./commands/parked.ts";
import type { UnitCommands } from "./commands/unit-queue.ts";
import { Counters } from "./counters.ts";
import { Connections, type Gone } from "./device/connections.ts";
import { DriverFrames } from "./device/driver-frames.ts";
import { deviceEndpoint } from "./device/endpoint.ts";
import { type DeviceChannel, Links } from "./device/links.ts";
import { TrackerFrames } from "./device/tracker-frames.ts";
import { Mailbox, type Turns } from "./driver/mailbox.ts";
import { Fanout } from "./fanout.ts";
import { firstConversation } from "./first-conversation.ts";
import { Failures } from "./identity/failures.ts";
import { Identity } from "./identity/identity.ts";
import { Sessids } from "./identity/sessids.ts";
import { Coalescer } from "./ingest/coalescer.ts";
import { Ingest } from "./ingest/ingest.ts";
import { RecordLimits } from "./ingress/limits.ts";
import { OsmAndDoor } from "./ingress/osmand.ts";
import { openOsmAndPort } from "./ingress/osmand-port.ts";
import { traccarRoutes } from "./ingress/traccar.ts";
import { failure, onError, prefixesOf, userRoutes } from "./rest/rest.ts";
import { checkSettings, type FleetSettings, fleetSection } from "./settings.ts";
import { Partitions } from "./storage/partitions.ts";
import { Retention } from "./storage/retention.ts";
import { Directory } from "./units/directory.ts";
import { Revision } from "./units/revision.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The fleet: vehicles' positions, inputs, events, commands and drivers' messages, live. SPEC.md is its contract. */
export const fleet = defineProtocol({
  name: "fleet",
  settings: fleetSection,
  check: checkSettings,
  build,
  commands,
  firstConversation,
});

async function build(core: Core<FleetSettings>): Promise<Surface> {
  const { settings, gateway, database, backplane, accounts, clock, log } = core;
  const { topics, tallies, presence, records } = backplane;
  const cors: CorsPolicy = {
    origins: settings.origins,
    methods: ["GET", "POST"],
    headers: ["authorization", "content-type"],
    credentials: false,
    wildcard: "literal",
    maxAge: 600,
    preflight: { status: 204, body: null },
  };
  const counters = new Counters(core.metrics);
  const partitions = new Partitions({ database, clock, log });
  await partitions.prepare();
  const { historyDays: history, messageDays: messages } = settings;
  const retention = new Retention({ database, partitions, clock }, { history, messages });

  const revision = new Revision({ database, topics });
  const directory = new Directory({ database, clock, revision });
  const sessids = new Sessids({ database, clock }, settings.sessionTtlS);
  const failures = new Failures(tallies, settings.authFailuresPerMinute);
  const identity = new Identity({ accounts, database, clock, verifier: verifier(core) }, settings.jwtUserClaim);
  revision.onChange(() => identity.forget());
  const audit = new Audit({ database, clock, log });

  // It listens once: with a subscription for each reload, frames would leave twice while old code goes and new comes.
  const fanout = core.keep("fanout", () => new Fanout({ topics, database, clock }, settings.coalesceMs));
  const maxSockets = Math.min(settings.maxSocketsPerUser, gateway.maxConnectionsPerUser || Number.POSITIVE_INFINITY);
  const watchers = new Watchers(
    { database, presence, fanout, sessids, revision, clock, log },
    maxSockets,
    core.keep("watchers", () => new Set<ClientChannel>()),
  );
  const frames = new Coalescer({ fanout, clock }, settings.coalesceMs);
  const rules = { eventIds: settings.eventIds, source: settings.eventSource };
  const ingest = new Ingest({ database, clock, frames, counters }, rules, settings.batchMs);

  const links = new Links(
    backplane,
    core.keep("links", () => new Map<string, DeviceChannel>()),
  );
  const connections = new Connections(
    { database, links, fanout, clock, log },
    // Before it says that a node is lost, the backplane has waited for as long as its own leases last.
    { grace: settings.linkGraceS, lost: Math.max(settings.linkGraceS, settings.leaseS - NODE_LEASE) },
    core.keep("gone links", (): Gone => new Map()),
  );
  const mailbox = new Mailbox(
    { database, backplane, links, fanout, counters, clock, log },
    settings.messageTtlS,
    core.keep("driver turns", (): Turns => new Map()),
  );
  const parked = new Parked({ records, clock }, settings.commandQueueTtlS);
  const bases = { output: settings.ioOutputBase, analog: settings.ioAnalogBase };
  const answers = new Answers({ ingest, fanout, counters, clock }, bases);
  const calls = core.keep("node calls", () => new NodeCalls({ backplane, clock }));
  const commander = new Commander(
    { backplane, calls, links, directory, answers, parked, audit, counters, clock, log },
    { timeout: settings.commandTimeoutS, traccar: traccar(settings) },
    core.keep("commands", () => new Map<number, UnitCommands>()),
  );
  await commander.join();
  const limits = new RecordLimits(settings.maxFutureS);

  const doorParts = { settings, directory, ingest, connections, commander, parked, limits, counters, clock };
  const osmand = new OsmAndDoor({ ...doorParts, database });
  const opens = (door: string) => settings.ingress.includes(door);
  const closePort = opens("osmand") && settings.osmandPort > 0 ? listen(osmand, core) : null;
  counters.watch("sockets", () => watchers.size);
  counters.watch("tracker_links", () => links.count("tracker"));
  counters.watch("pnd_links", () => links.count("pnd"));

  const requests = new Requests({ commander, mailbox, log }, settings.commands);
  const snapshot = new Snapshot({ database, fanout });
  const clients = clientEndpoints({
    ...{ settings, cors, accounts, sessids, failures, fanout, watchers, requests, snapshot, counters, clock, log },
  });
  const trackers = new TrackerFrames({ ingest, commander, limits, counters });
  const drivers = new DriverFrames({ ingest, mailbox, limits });
  const devices = deviceEndpoint({
    ...{ settings, cors, directory, links, connections, trackers, drivers, mailbox, parked, counters, clock, log },
  });

  return {
    rest: {
      routes: [
        ...userRoutes({ settings, database, tallies, identity, failures, sessids }),
        ...(opens("traccar") ? traccarRoutes(doorParts) : []),
        ...(opens("osmand") ? osmand.routes : []),
      ],
      internal: adminRoutes({
        ...{ settings, database, accounts, revision, audit, clock },
        ended: (uid) => links.end(uid),
      }),
      cors,
      onError,
      onWrongMethod: () => failure(405, "Method not allowed"),
      unknown: {
        under: [...prefixesOf(settings).filter((prefix) => prefix !== ""), "/admin/fleet"],
        answer: () => failure(404, "Not found"),
      },
    },
    sockets: opens("device") ? [clients, devices] : [clients],
    tasks: [
      { name: "see changes of units and rights", every: SECOND, run: () => revision.check() },
      { name: "end sessions", every: SECOND, run: () => watchers.refresh() },
      { name: "give up commands of dead nodes", every: 2 * SECOND, run: () => commander.sweep() },
      { name: "look after messages", every: 5 * SECOND, run: () => mailbox.sweep() },
      { name: "reconcile connections", every: 15 * SECOND, run: () => connections.reconcile() },
      { name: "remove what is old", every: 10 * MINUTE, run: () => retention.run() },
      { name: "prepare partitions", every: HOUR, run: () => partitions.prepare() },
      { name: "remove ended sessions", every: HOUR, run: () => sessids.purge() },
    ],
    async close() {
      await closePort?.();
      frames.flushAll();
      mailbox.close();
      await connections.close();
      links.close();
      revision.close();
    },
  };
}

/** JWTs are off when neither a secret nor published keys are set (F-9.3). */
function verifier({ settings: { jwtSecret: secret, jwksUrl }, clock }: Core<FleetSettings>) {
  if (secret === undefined && jwksUrl === undefined) return null;
  return createVerifier({ clock, secret, jwksUrl, clockSkew: 5 * SECOND });
}

function traccar({ traccarUrl: url, traccarToken: token, traccarQueue: queue }: FleetSettings) {
  return url === undefined ? null : { url, token, queue };
}

function listen(door: OsmAndDoor, { settings, gateway, log }: Core<FleetSettings>) {
  const { osmandPort: port, maxBodyBytes } = settings;
  return openOsmAndPort(door, {
    hostname: gateway.host,
    port,
    maxBodyBytes,
    proxies: trustedProxies(gateway.trustedProxies),
    log,
  });
}
