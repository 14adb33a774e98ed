import type { Values } from "../../config/setting.ts";
import {
  days,
  flag,
  integer,
  list,
  milliseconds,
  origins,
  seconds,
  secret,
  section,
  signingSecret,
  text,
  url,
  urls,
} from "../../config/setting.ts";

/** Section 14 of the contract. */
export const workspacesSection = section("WORKSPACES", {
  enabled: flag(true, "Serve workspaces."),
  hosts: list("none", "Comma list of Host values this protocol is served under; none serves all."),
  origins: origins("*", "Comma list of allowed origins of browsers, or * for all."),
  pingInterval: milliseconds(25_000, "Milliseconds between two heartbeats of a socket.", { min: 100 }),
  pingTimeout: milliseconds(15_000, "Milliseconds a heartbeat may stay unanswered.", { min: 100 }),
  authDeadline: seconds(10, "Seconds a new socket has to authenticate."),
  accessTtl: seconds(3600, "Seconds an access token lives."),
  refreshTtl: days(31, "Days a refresh token lives from its issue."),
  refreshGrace: seconds(30, "Seconds in which the same refresh gets the same answer."),
  tokenGrace: seconds(60, "Seconds a live socket may outlive its session's newest access token."),
  grace: seconds(5, "Seconds a lost socket outside conversations may take to come back."),
  graceInChannel: seconds(60, "Seconds a lost socket in a conversation may take to come back."),
  inviteTimeout: seconds(40, "Seconds until an unanswered invite is reported as such."),
  inviteMaxUses: integer(100, "People who may join by one workspace code.", { min: 1 }),
  emptyTalkTtl: seconds(600, "Seconds until a private talk that nobody entered is deleted."),
  guestTtl: seconds(3600, "Seconds until a guest that never connected is deleted."),
  maxPacket: integer(65_536, "Largest packet of a client in bytes.", { min: 1024, max: 16_777_216 }),
  maxBroadcast: integer(16_384, "Largest conversation-broadcast in bytes.", { min: 1 }),
  sendQueue: integer(1_048_576, "Bytes that may wait for a slow reader.", { min: 65_536, max: 8_388_608 }),
  rateEvents: integer(20, "Events a second a socket may send; three times as many at once.", { min: 1 }),
  rateRest: integer(20, "REST calls a second a user may make; five times as many at once.", { min: 1 }),
  ratePublic: integer(300, "Calls without login a minute and address.", { min: 1 }),
  socketsPerUser: integer(20, "Sockets a user may have over all nodes.", { min: 1 }),
  socketsPerIp: integer(5000, "Sockets an address may have over all nodes.", { min: 1 }),
  unauthPerIp: integer(1000, "Sockets an address may have that are not authenticated.", { min: 1 }),
  bindSid: flag(true, "Take the requests of a polling session from the address that opened it alone."),
  longPoll: flag(false, "Serve GET /long-poll, by which the existing desktop client tells whether it is online."),
  hidePrivateChannels: flag(false, "Tell of private channels to their members alone, not to the whole workspace."),
  secretKey: signingSecret(
    "Encrypts room secrets, invite codes and recorded tokens. Comma list: the first writes, all read.",
  ),
  janusUrl: urls("none", "Comma list of the HTTP APIs of Janus servers; none serves without media."),
  janusAdminUrl: urls("none", "Comma list of their admin APIs, in the same order."),
  janusPublicUrl: urls("none", "Comma list of the HTTP URLs clients reach them by, in the same order."),
  janusPublicWsUrl: urls("none", "Comma list of the WebSocket URLs clients reach them by, in the same order.", [
    "ws:",
    "wss:",
  ]),
  janusAdminSecret: secret("Admin secret of all Janus servers."),
  janusAudiobridgeKey: secret("Admin key of the audiobridge plugin."),
  janusVideoroomKey: secret("Admin key of the videoroom plugin."),
  janusTextroomKey: secret("Admin key of the textroom plugin."),
  janusTimeout: seconds(5, "Seconds a call to Janus may take."),
  janusFailover: seconds(30, "Seconds a Janus server may be down until its conversations move to another."),
  smtpUrl: {
    ...url("Mail server, as smtp://user:password@host:port. Without it no e-mail is sent.", ["smtp:", "smtps:"]),
    secret: true,
  },
  mailFrom: text(null, "Sender of e-mails."),
  publicUrl: url("Base of the links in e-mails."),
  filesDir: text(null, "Folder of uploaded avatars; without it uploads are not served."),
});

export type WorkspacesSettings = Values<typeof workspacesSection>;

/** Faults that only show across several settings (W-10.1, W-10.2, W-14.15). */
export function checkSettings(settings: WorkspacesSettings) {
  const faults: { setting: string; fault: string; remedy: string }[] = [];
  const needed = { WORKSPACES_MAIL_FROM: settings.mailFrom, WORKSPACES_PUBLIC_URL: settings.publicUrl };
  for (const [setting, value] of Object.entries(needed)) {
    if (settings.smtpUrl === undefined || value !== undefined) continue;
    faults.push({ setting, fault: "is missing, and WORKSPACES_SMTP_URL needs it", remedy: "set it" });
  }
  const servers = settings.janusUrl.length;
  if (servers === 0) return faults;
  const lists = {
    WORKSPACES_JANUS_ADMIN_URL: settings.janusAdminUrl,
    WORKSPACES_JANUS_PUBLIC_URL: settings.janusPublicUrl,
    WORKSPACES_JANUS_PUBLIC_WS_URL: settings.janusPublicWsUrl,
  };
  for (const [setting, { length }] of Object.entries(lists)) {
    if (length === servers) continue;
    faults.push({
      setting,
      fault: `names ${length} servers where WORKSPACES_JANUS_URL names ${servers}`,
      remedy: "list one URL for each server, in the same order",
    });
  }
  const secrets = {
    WORKSPACES_JANUS_ADMIN_SECRET: settings.janusAdminSecret,
    WORKSPACES_JANUS_AUDIOBRIDGE_KEY: settings.janusAudiobridgeKey,
    WORKSPACES_JANUS_VIDEOROOM_KEY: settings.janusVideoroomKey,
    WORKSPACES_JANUS_TEXTROOM_KEY: settings.janusTextroomKey,
  };
  for (const [setting, value] of Object.entries(secrets)) {
    if (value !== undefined) continue;
    faults.push({ setting, fault: "is missing, and WORKSPACES_JANUS_URL needs it", remedy: "set it" });
  }
  return faults;
}
