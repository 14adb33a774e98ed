import { join } from "node:path";
import type { Namespace } from "socket.io";
import { previousSecret } from "../../accounts/previous-secret.ts";
import { createVerifier } from "../../accounts/verifier.ts";
import { trustedProxies } from "../../http/address.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { Peer } from "../../socketio/endpoint.ts";
import { type Core, defineProtocol, type Surface, type Task } from "../protocol.ts";
import { Admission } from "./admission.ts";
import { Auctions } from "./auctions.ts";
import { Companions, nothingUntold } from "./companions.ts";
import { Conversations } from "./conversations.ts";
import { Counters } from "./counters.ts";
import { endpoint } from "./endpoint.ts";
import { firstConversation } from "./first-conversation.ts";
import { History } from "./history.ts";
import { Identity } from "./identity.ts";
import { ImageBucket, ImageFolder, type ImageStore } from "./image-store.ts";
import { KafkaClients } from "./kafka.ts";
import { Limits } from "./limits.ts";
import { Lookups } from "./lookups.ts";
import { MessageWriter } from "./message-writer.ts";
import { Notices } from "./notices.ts";
import { Presence } from "./presence.ts";
import { purgeOutbox, Relay } from "./relay.ts";
import { Requests } from "./requests.ts";
import { rest } from "./rest.ts";
import { RoomList } from "./room-list.ts";
import { RoomViews } from "./room-views.ts";
import { Rooms } from "./rooms.ts";
import { SeenMarks } from "./seen-marks.ts";
import type { Admitted } from "./session.ts";
import { type ConversationsSettings, checkSettings, conversationsSection } from "./settings.ts";

/** Between two looks for tokens that ended. */
const SWEEP_INTERVAL = 1_000;
/** Between two tries to tell what an outage kept back. */
const CATCH_UP_INTERVAL = 1_000;
/** Between two looks for old domain events. */
const PURGE_INTERVAL = 600_000;
/** Between two looks for new domain events, and for a consumer that has given up. */
const RELAY_INTERVAL = 250;
const CONSUMER_INTERVAL = 1_000;
/** Between two counts of waiting domain events. */
const MEASURE_INTERVAL = 10_000;
/** Milliseconds by which the clocks of issuers may differ (V-2.2). */
const LEEWAY = 30_000;

/** Conversations of buyers and sellers. SPEC.md is the contract. */
export const conversations = defineProtocol({
  name: "conversations",
  settings: conversationsSection,
  check: checkSettings,
  build,
  firstConversation,
  token: {
    secret: (settings) => settings.jwtSecret,
    claims: (account) => ({ sub: String(account.number) }),
  },
});

function build(core: Core<ConversationsSettings>): Surface {
  const { settings, gateway, backplane, database, clock, log } = core;
  if (!settings.enabled) return {};
  const cors: CorsPolicy = {
    origins: settings.origins,
    methods: ["GET", "POST", "PUT", "DELETE"],
    headers: ["x-chozoi-token", "content-type", "authorization"],
    credentials: false,
    wildcard: "literal",
    preflight: { status: 204, body: null },
  };
  const maxSockets = Math.min(settings.maxSocketsPerUser, gateway.maxConnectionsPerUser || Number.POSITIVE_INFINITY);

  const counters = new Counters(core.metrics);
  const identity = identityOf(core);
  const lookups = new Lookups({ user: settings.userLookupUrl, shop: settings.shopLookupUrl }, { clock, log });
  const rooms = new Rooms({ database, clock, lookups });
  const list = new RoomList(database);
  const history = new History(database);
  const seenMarks = new SeenMarks({ database, clock });
  const writer = new MessageWriter({ database, clock }, { dedupeWindow: settings.dedupeWindowS });
  const notices = core.keep("notices", () => new Notices());
  const presence = new Presence(
    { backplane, clock, log },
    { limit: maxSockets, grace: settings.presenceGraceMs, lease: settings.presenceLeaseS },
    core.keep("local presence", () => new Map<string, number>()),
  );
  const companions = new Companions({ list, presence, notices, log }, core.keep("untold", nothingUntold));
  const views = new RoomViews({ list, presence });
  const limits = new Limits(backplane.tallies, {
    messages: settings.messagesPerMinute,
    requests: settings.restPerMinute,
  });
  const requests = new Requests({ identity, limits }, { maxBody: settings.maxBodyBytes });
  const admission = new Admission(
    { identity, presence, counters, clock, log },
    { cors, linger: settings.refusedLingerS },
    core.keep("peers", () => new Set<Peer<Admitted>>()),
  );
  const domain = new Conversations({ rooms, writer, seenMarks, companions, notices, counters });

  const auctions = new Auctions(
    { admission, presence, lookups, counters },
    { perSecond: settings.eventsPerSecond, burst: settings.eventsBurst },
    core.keep("auction namespaces", () => new Map<string, Namespace>()),
  );
  const kafka = kafkaOf(core, { auctions, counters });

  return {
    rest: rest({
      requests,
      rooms,
      list,
      views,
      history,
      companions,
      conversations: domain,
      resendPresence: settings.resendPresence,
      uploads: {
        store: imageStore(core),
        maxBytes: settings.uploadMaxBytes,
        publicUrl: settings.uploadPublicUrl,
      },
      cors,
      database,
      serveClient: settings.serveClient,
    }),
    sockets: [
      endpoint({
        settings,
        cors,
        clock,
        log,
        admission,
        presence,
        companions,
        conversations: domain,
        views,
        notices,
        limits,
        counters,
        others: auctions.namespaces,
      }),
    ],
    tasks: [
      { name: "end sockets of ended tokens", every: SWEEP_INTERVAL, run: () => admission.sweep(LEEWAY) },
      {
        name: "purge the outbox",
        every: PURGE_INTERVAL,
        run: () =>
          purgeOutbox({ database, clock }, { retention: settings.outboxRetentionDays, relayedOnly: kafka !== null }),
      },
      { name: "tell what an outage kept back", every: CATCH_UP_INTERVAL, run: () => companions.catchUp() },
      ...(kafka?.tasks ?? []),
    ],
    async close() {
      await companions.close();
      await kafka?.close();
    },
  };
}

/** What goes to and comes from Kafka; null where there is none (V-6.23). */
function kafkaOf(
  { settings, gateway, backplane, database, log }: Core<ConversationsSettings>,
  { auctions, counters }: { auctions: Auctions; counters: Counters },
) {
  if (gateway.kafkaBrokers.length === 0) return null;
  const clients = new KafkaClients(gateway.kafkaBrokers, log);
  const producer = clients.producer(settings.kafkaTopic);
  const relay = new Relay({ database, producer, counters, log }, { node: backplane.node });
  const consumer = clients.consumer(settings.kafkaGroup, settings.auctionTopic, (value) => auctions.take(value));
  const tasks: Task[] = [
    { name: "relay domain events", every: RELAY_INTERVAL, run: () => relay.run() },
    { name: "count waiting domain events", every: MEASURE_INTERVAL, run: () => relay.measure() },
    { name: "read auction results", every: CONSUMER_INTERVAL, run: () => consumer.run() },
  ];
  const close = async () => {
    await Promise.all([relay.close(), consumer.close()]);
  };
  return { tasks, close };
}

function identityOf({ settings, clock }: Core<ConversationsSettings>): Identity {
  const verifier = createVerifier({
    clock,
    secret: settings.jwtSecret,
    previous: previousSecret(settings),
    jwksUrl: settings.jwksUrl,
    issuer: settings.jwtIssuer,
    audience: settings.jwtAudience,
    clockSkew: LEEWAY,
  });
  return new Identity(verifier, {
    mode: settings.auth,
    userClaim: settings.jwtUserClaim,
    roleClaim: settings.jwtRoleClaim,
    proxies: trustedProxies(settings.trustedProxies),
  });
}

function imageStore({ settings, gateway }: Core<ConversationsSettings>): ImageStore {
  const { s3Bucket: bucket } = settings;
  if (bucket === undefined) return new ImageFolder(settings.uploadDir ?? join(gateway.dataDir, "uploads"));
  return new ImageBucket({
    bucket,
    endpoint: settings.s3Endpoint,
    region: settings.s3Region,
    accessKeyId: settings.s3AccessKeyId,
    secretAccessKey: settings.s3SecretAccessKey,
    publicUrl: settings.s3PublicUrl,
  });
}
