import { createHash, timingSafeEqual } from "node:crypto";
import type { Route, RouteContext } from "../../http/routes.ts";
import type { Log } from "../../observe/log.ts";
import { envelope } from "./answers.ts";
import type { Ban, Bans } from "./bans.ts";
import { closes, shortReason } from "./closes.ts";
import type { Connections } from "./connections.ts";
import { errors } from "./errors.ts";
import { time } from "./messages.ts";
import { Kick, NewBan, optionalBody, userId } from "./requests.ts";

/** What administrators work with. */
export interface Administration {
  readonly token: string;
  readonly bans: Bans;
  readonly connections: Connections;
  readonly log: Log;
}

/** Bans and kicks (C-3.6 to C-3.9, C-3.29 to C-3.32). Every call is logged. */
export function administrationRoutes({ token, bans, connections, log }: Administration): Route[] {
  /** Lets an administrator in. Throws `invalid_admin_token`. */
  function admit({ req, env }: RouteContext): void {
    const given = req.header("authorization")?.replace(/^Bearer\s+/i, "") ?? "";
    if (timingSafeEqual(digest(given), digest(token))) return;
    log.warn({ address: env.address, action: `${req.method} ${req.path}` }, "administration refused");
    throw errors.fault("invalid_admin_token");
  }

  function note({ env }: RouteContext, action: string, user: string | null, reason: string | null = null): void {
    log.info({ address: env.address, action, user, reason }, "administration");
  }

  const path = "/admin/chat/users/:id/ban";
  return [
    {
      method: "POST",
      path,
      async handler(context) {
        admit(context);
        const user = userId(context);
        const { reason, seconds } = await optionalBody(context, NewBan);
        note(context, "ban", user, reason);
        const ban = await bans.set(user, { reason, duration: seconds === null ? null : seconds * 1_000 });
        await connections.end(user, closes.banned);
        return envelope(shown(user, ban));
      },
    },
    {
      method: "DELETE",
      path,
      async handler(context) {
        admit(context);
        const user = userId(context);
        note(context, "unban", user);
        await bans.remove(user);
        return envelope(shown(user, null));
      },
    },
    {
      method: "GET",
      path,
      async handler(context) {
        admit(context);
        const user = userId(context);
        note(context, "read ban", user);
        return envelope(shown(user, await bans.find(user)));
      },
    },
    {
      method: "POST",
      path: "/admin/chat/users/:id/kick",
      async handler(context) {
        admit(context);
        const user = userId(context);
        const { reason } = await optionalBody(context, Kick);
        note(context, "kick", user, reason);
        const close = reason ? { ...closes.kicked, reason: shortReason(reason) } : closes.kicked;
        return envelope({ user_id: user, closed: await connections.end(user, close) });
      },
    },
    {
      method: "GET",
      path: "/admin/chat/bans",
      async handler(context) {
        admit(context);
        note(context, "list bans", null);
        return envelope((await bans.list()).map((ban) => shown(ban.userId, ban)));
      },
    },
  ];
}

function shown(user: string, ban: Ban | null) {
  const until = ban?.until ? time(ban.until.getTime()) : null;
  return { user_id: user, banned: ban !== null, until, reason: ban?.reason ?? null };
}

/** Of one length whatever is given, so that the comparison takes one time. */
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
