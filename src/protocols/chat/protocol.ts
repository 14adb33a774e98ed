import type { Account } from "../../accounts/accounts.ts";
import { previousSecret } from "../../accounts/previous-secret.ts";
import { createVerifier } from "../../accounts/verifier.ts";
import { MemoryTallies } from "../../backplane/memory/tallies.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import { type Core, defineProtocol, type Surface } from "../protocol.ts";
import { Admission } from "./admission.ts";
import { Bans } from "./bans.ts";
import { Blocklist } from "./blocklist.ts";
import { Connections } from "./connections.ts";
import { Counters } from "./counters.ts";
import { Delivery } from "./delivery.ts";
import { Devices } from "./devices.ts";
import { endpoint } from "./endpoint.ts";
import { firstConversation } from "./first-conversation.ts";
import { History } from "./history.ts";
import { Identity } from "./identity.ts";
import { Journal } from "./journal.ts";
import { Mail } from "./mail.ts";
import { Moderation } from "./moderation.ts";
import { rest } from "./rest.ts";
import { Rooms } from "./rooms.ts";
import { SendRate } from "./send-rate.ts";
import { Sending } from "./sending.ts";
import { type ChatSettings, chatSection, checkSettings } from "./settings.ts";
import { upkeep } from "./upkeep.ts";

/** The chat: rooms by REST, messages by WebSocket. SPEC.md is its contract. */
export const chat = defineProtocol({
  name: "chat",
  settings: chatSection,
  check: checkSettings,
  build,
  firstConversation,
  token: {
    secret: (settings) => settings.jwtSecret,
    claims: ({ id }: Account) => ({ sub: id, role: "authenticated", aud: "authenticated" }),
  },
});

function build(core: Core<ChatSettings>): Surface {
  const { settings, database, backplane, clock, log } = core;
  if (!settings.enabled) return {};
  const cors: CorsPolicy = {
    origins: settings.origins,
    methods: ["GET", "POST", "PUT", "DELETE"],
    headers: "echo",
    credentials: false,
    wildcard: "literal",
    maxAge: 600,
    preflight: { status: 200, body: "OK" },
  };
  const blocklist = settings.blocklistFile === undefined ? new Blocklist([]) : Blocklist.read(settings.blocklistFile);

  const counters = new Counters(core.metrics);
  const devices = core.keep("devices", () => new Devices());
  const mail = core.keep("mail", () => new Mail(backplane.topics, log));
  const identity = new Identity(
    { verifier: verifier(core), tallies: backplane.tallies },
    { strict: settings.strictClaims },
  );
  const bans = new Bans({ database, clock });
  const connections = new Connections({ backplane, devices, mail, log }, maxSockets(core));
  const delivery = new Delivery({ devices, mail, delivered: counters.delivered, clock });
  const sending = new Sending(
    {
      journal: new Journal({ database, clock }),
      rate: new SendRate(
        core.keep("tallies", () => new MemoryTallies(clock)),
        { rate: settings.sendRate, burst: settings.sendBurst, strikes: settings.rateStrikes },
      ),
      connections,
      delivery,
      blocklist,
      moderation: moderation(core, counters),
      counters,
      clock,
      log,
    },
    {
      maxChars: settings.maxMessageChars,
      maxStrangeSends: settings.unauthorizedStrikes,
      failClosed: settings.moderationFail === "closed",
      closeOnForbidden: settings.moderationAction === "close",
    },
  );
  const admission = new Admission({ identity, bans, connections, devices, counters, clock, log }, cors);
  mail.readBy({
    stored: ({ message }) => delivery.here(message),
    close: ({ user, code, reason }) => connections.endHere(user, { code, reason, comeBack: false }),
    replace: (letter) => void connections.replaceHere(letter),
    confirm: ({ user, confirmation }) => void connections.confirmHere(user, confirmation),
  });

  return {
    rest: rest({
      settings,
      cors,
      clock,
      identity,
      backplane,
      bans,
      rooms: new Rooms({ database, clock }, { maxParticipants: settings.maxParticipants, dedupe: settings.roomDedupe }),
      history: new History(database),
      administration: settings.adminToken === undefined ? null : { token: settings.adminToken, bans, connections, log },
      counters,
    }),
    sockets: [endpoint({ settings, clock, log, admission, connections, sending, counters })],
    tasks: upkeep({ devices, connections, bans, clock }, { clockSkew: settings.clockSkew, afk: settings.afkSeconds }),
    close: () => connections.close(),
  };
}

/** Sockets a user may have over all nodes (C-6.10, C-6.13). */
function maxSockets({ settings, gateway }: Core<ChatSettings>): number {
  if (settings.singleDevice) return 1;
  return Math.min(settings.maxSocketsPerUser, gateway.maxConnectionsPerUser || Number.POSITIVE_INFINITY);
}

function moderation({ settings, clock, log }: Core<ChatSettings>, counters: Counters): Moderation | null {
  const { moderationUrl: url, moderationToken: token, moderationTimeoutMs: timeout } = settings;
  return url === undefined ? null : new Moderation({ url, token, timeout }, { counters, clock, log });
}

function verifier({ settings, clock }: Core<ChatSettings>) {
  return createVerifier({
    clock,
    secret: settings.jwtSecret,
    previous: previousSecret(settings),
    jwksUrl: settings.jwksUrl,
    issuer: settings.jwtIssuer,
    clockSkew: settings.clockSkew,
  });
}
