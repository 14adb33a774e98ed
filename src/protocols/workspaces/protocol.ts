import type { CorsPolicy } from "../../http/cors.ts";
import { type Core, defineProtocol, type Surface } from "../protocol.ts";
import { AccountDeletion } from "./account-deletion.ts";
import { Alarms } from "./alarms.ts";
import { Arrivals } from "./arrivals.ts";
import { Authentication } from "./authentication.ts";
import { CallInvites } from "./call-invites.ts";
import { Changes } from "./changes.ts";
import { Channels } from "./channels.ts";
import { commands } from "./cli/commands.ts";
import { Connections } from "./connections.ts";
import { Conversations } from "./conversations.ts";
import { Counters } from "./counters.ts";
import { Departures } from "./departures.ts";
import { endpoint } from "./endpoint.ts";
import { errors } from "./errors.ts";
import { Files } from "./files.ts";
import { firstConversation } from "./first-conversation.ts";
import { Guests } from "./guests.ts";
import { Handovers } from "./handovers.ts";
import { InviteCodes } from "./invite-codes.ts";
import { Logins } from "./logins.ts";
import { Losses } from "./losses.ts";
import { openMailer } from "./mail.ts";
import { openMedia } from "./media/open.ts";
import { Nodes } from "./nodes.ts";
import { Notices } from "./notices.ts";
import { OneTimeTokens } from "./one-time-tokens.ts";
import { People } from "./people.ts";
import { Permissions } from "./permissions.ts";
import { Refusals } from "./refusals.ts";
import { accountRoutes } from "./rest/account-routes.ts";
import { channelRoutes } from "./rest/channel-routes.ts";
import { conversationRoutes } from "./rest/conversation-routes.ts";
import { Gate } from "./rest/gate.ts";
import { LongPoll } from "./rest/long-poll.ts";
import { surface } from "./rest/surface.ts";
import { workspaceRoutes } from "./rest/workspace-routes.ts";
import { Seal } from "./seal.ts";
import type { WorkspacesPeer } from "./session.ts";
import { Sessions } from "./sessions.ts";
import { checkSettings, type WorkspacesSettings, workspacesSection } from "./settings.ts";
import { Statuses } from "./status.ts";
import { Talks } from "./talks.ts";
import { Views } from "./views.ts";
import { Workspaces } from "./workspaces.ts";

/** Between two looks for what came due without an alarm, for dead nodes (W-7.11) and for expired tokens. */
const SWEEP_INTERVAL = 5_000;
/** Between two looks for expired channels, guests and tokens: well inside the 60 s of W-8.14. */
const TIDY_INTERVAL = 20_000;
/**
 * How long after its start a node leaves overdue invites alone: senders whose sockets went with the last run get the time
 * to come back and hear of them, and the 5 s of W-9.10 are kept.
 */
const RETURN_TIME = 3_000;
/** Tells the node of a socket that another one took its place. */
const REPLACED = "workspaces:replaced";

/** Voice and video channels inside workspaces. SPEC.md is its contract. */
export const workspaces = defineProtocol({
  name: "workspaces",
  settings: workspacesSection,
  check: checkSettings,
  build,
  commands,
  firstConversation,
});

async function build(core: Core<WorkspacesSettings>): Promise<Surface> {
  const { settings, gateway, database, backplane, accounts, clock, log, metrics } = core;
  if (!settings.enabled) return {};
  const cors: CorsPolicy = {
    origins: settings.origins,
    methods: ["GET", "POST", "DELETE"],
    headers: ["Authorization", "Content-Type"],
    credentials: true,
    wildcard: "echo",
    maxAge: 600,
    preflight: { status: 204, body: null },
  };
  const imageBase = (settings.publicUrl ?? "").replace(/\/$/, "");
  const peers = core.keep("peers", () => new Map<string, WorkspacesPeer>());

  const seal = new Seal(settings.secretKey);
  const counters = new Counters(metrics);
  const refusals = new Refusals({ log, clock });
  const notices = new Notices();
  const views = new Views(imageBase);
  const mailer = openMailer({ log, clock }, settings);
  const alarms = new Alarms({ timers: backplane.timers, log });
  const handovers = new Handovers({ backplane, log });
  const changes = new Changes({ database, backplane, handovers });
  const people = new People({ database, accounts, clock });
  const sessions = new Sessions({ database, clock }, settings);
  const oneTimeTokens = new OneTimeTokens({ database, clock });
  const files = new Files({ database, clock, log, views }, settings.filesDir);
  const tell = notices.mediaServer.bind(notices);
  const media = openMedia({ settings, database, backplane, clock, log, metrics, seal, tell });
  const statuses = new Statuses({ notices });
  const arrivals = new Arrivals({ notices, people, views, clock });
  const departures = new Departures({ notices, media, statuses, clock }, settings);
  const drop = (id: string) => peers.get(id)?.drop();
  const replace = (id: string) => {
    drop(id);
    backplane.topics.publish(REPLACED, id);
  };
  const connections = new Connections(
    { database, changes, statuses, departures, notices, alarms, clock, replace },
    {
      node: backplane.node,
      perUser: Math.min(settings.socketsPerUser, gateway.maxConnectionsPerUser || Number.POSITIVE_INFINITY),
    },
  );
  const { grace, graceInChannel } = settings;
  const losses = new Losses(
    { alarms, changes, clock, database, departures, log, notices, statuses },
    { node: backplane.node, grace, graceInChannel },
  );
  const conversations = new Conversations({
    database,
    changes,
    connections,
    departures,
    statuses,
    media,
    notices,
    clock,
  });
  const callInvites = new CallInvites(
    { database, changes, statuses, arrivals, notices, alarms, clock },
    { timeout: settings.inviteTimeout },
  );
  const inviteCodes = new InviteCodes({ database, clock, seal, arrivals }, { maxUses: settings.inviteMaxUses });
  const channels = new Channels({ arrivals, changes, clock, database, departures, notices, statuses, views }, settings);
  const talks = new Talks({ callInvites, changes, channels, database, notices, people, statuses, views });
  const spaces = new Workspaces({
    arrivals,
    changes,
    clock,
    conversations,
    database,
    departures,
    notices,
    people,
    statuses,
    views,
  });
  const logins = new Logins({
    accounts,
    backplane,
    changes,
    connections,
    inviteCodes,
    log,
    mailer,
    notices,
    oneTimeTokens,
    people,
    sessions,
    views,
  });
  const accountDeletion = new AccountDeletion({ changes, departures, files, notices, people, statuses });
  const guests = new Guests(
    { accounts, changes, clock, departures, inviteCodes, logins, people, statuses },
    { ttl: settings.guestTtl },
  );
  const permissions = new Permissions({ database, inviteCodes, people });
  const authentication = new Authentication({ database, sessions, connections, media, clock }, peers, settings);
  const nodes = new Nodes({ backplane, losses, media, database, log }, peers, authentication);
  const gate = new Gate(
    { sessions, tallies: backplane.tallies, counters, refusals },
    { perUser: settings.rateRest, perAddress: settings.ratePublic },
  );
  const longPoll = new LongPoll({ clock }, { perAddress: settings.socketsPerIp });

  // At the start alone: after a reload the sockets are still there.
  if (gateway.redisUrl === undefined) await core.keep("started", () => nodes.startAlone());
  await nodes.open();
  const stops: (() => void)[] = [
    alarms.on("grace", (id) => losses.expire(id)),
    clock.after(RETURN_TIME, () => void stops.push(alarms.on("invite", (id) => callInvites.expire(id)))),
    backplane.topics.subscribe(REPLACED, (id) => drop(String(id))),
  ];

  return {
    rest: surface(
      [
        ...accountRoutes({ accountDeletion, files, gate, logins, notices, oneTimeTokens, people, permissions, views }),
        ...workspaceRoutes({
          changes,
          channels,
          gate,
          inviteCodes,
          mailer,
          people,
          talks,
          views,
          workspaces: spaces,
        }),
        ...channelRoutes({
          changes,
          channels,
          conversations,
          gate,
          guests,
          inviteCodes,
          views,
          workspaces: spaces,
        }),
        ...conversationRoutes({ callInvites, conversations, gate }),
        ...(settings.longPoll ? [longPoll.route(gate)] : []),
      ],
      cors,
      settings.hosts,
    ),
    sockets: [
      endpoint({
        settings,
        cors,
        clock,
        log,
        backplane,
        notices,
        authentication,
        connections,
        conversations,
        counters,
        handovers,
        losses,
        peers,
        refusals,
      }),
    ],
    tasks: [
      { name: "look for dead nodes", every: SWEEP_INTERVAL, run: () => nodes.sweep() },
      { name: "end overdue connections", every: SWEEP_INTERVAL, run: () => losses.sweep() },
      { name: "end overdue invites", every: SWEEP_INTERVAL, run: () => callInvites.sweep() },
      { name: "end empty channels", every: TIDY_INTERVAL, run: () => channels.sweep() },
      { name: "end forgotten guests", every: TIDY_INTERVAL, run: () => guests.sweep() },
      { name: "forget old tokens", every: TIDY_INTERVAL, run: () => sessions.tidy() },
      { name: "forget old codes", every: TIDY_INTERVAL, run: () => oneTimeTokens.tidy() },
      {
        name: "end sockets of expired tokens",
        every: SWEEP_INTERVAL,
        async run() {
          for (const peer of await authentication.expired()) {
            counters.expired.value++;
            peer.dismiss("socket-api-error", { event: "auth", message: errors.rows.access_expired.text });
          }
        },
      },
      ...media.tasks,
    ],
    async close() {
      for (const stop of stops) stop();
      await longPoll.close();
      nodes.close();
      handovers.close();
      await Promise.all([media.close(), mailer?.close()]);
    },
  };
}
