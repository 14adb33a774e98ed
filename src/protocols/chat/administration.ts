import { createHash, timingSafeEqual } from "node:crypto";
import type { Method, Route, RouteContext } from "../../http/routes.ts";
import type { Log } from "../../observe/log.ts";
import { envelope } from "./answers.ts";
import type { Ban, Bans } from "./bans.ts";
import { closes, shortReason } from "./closes.ts";
import type { Connections } from "./connections.ts";
import { errors, publicFault } from "./errors.ts";
import { time } from "./messages.ts";
import { Kick, NewBan, optionalBody, userId } from "./requests.ts";

/** Characters of a user's id in the log; what is longer is none. */
const MAX_LOGGED = 64;

/** What administrators work with. */
export interface Administration {
  readonly token: string;
  readonly bans: Bans;
  readonly connections: Connections;
  readonly log: Log;
}

/** Who and what a call is about, as far as it is known yet. */
interface Subject {
  user: string | null;
  reason: string | null;
}

/** Bans and kicks (C-3.6 to C-3.9, C-3.29 to C-3.31). Every call is logged, whatever becomes of it (C-3.32). */
export function administrationRoutes({ token, bans, connections, log }: Administration): Route[] {
  /** A call of an administrator; `perform` gives the data of the answer, and notes in the subject what it learns. */
  function route(
    method: Method,
    path: string,
    action: string,
    perform: (context: RouteContext, subject: Subject) => Promise<unknown>,
  ): Route {
    return {
      method,
      path,
      async handler(context) {
        const { address } = context.env;
        const subject: Subject = {
          user: context.req.param("id")?.slice(0, MAX_LOGGED).toLowerCase() ?? null,
          reason: null,
        };
        try {
          if (!isToken(context.req.header("authorization"))) throw errors.fault("invalid_admin_token");
          const answer = envelope(await perform(context, subject));
          log.info({ address, action, ...subject }, "administration");
          return answer;
        } catch (error) {
          log.warn({ address, action, ...subject, refused: publicFault(error).code }, "administration refused");
          throw error;
        }
      },
    };
  }

  const isToken = (authorization = ""): boolean =>
    timingSafeEqual(digest(authorization.replace(/^Bearer\s+/i, "")), digest(token));

  const path = "/admin/chat/users/:id/ban";
  return [
    route("POST", path, "ban", async (context, subject) => {
      const user = userId(context);
      const { reason, seconds } = await optionalBody(context, NewBan);
      subject.reason = reason;
      const ban = await bans.set(user, { reason, duration: seconds === null ? null : seconds * 1_000 });
      await connections.end(user, closes.banned);
      return shown(user, ban);
    }),
    route("DELETE", path, "unban", async (context) => {
      const user = userId(context);
      await bans.remove(user);
      return shown(user, null);
    }),
    route("GET", path, "read ban", async (context) => {
      const user = userId(context);
      return shown(user, await bans.find(user));
    }),
    route("POST", "/admin/chat/users/:id/kick", "kick", async (context, subject) => {
      const user = userId(context);
      const { reason } = await optionalBody(context, Kick);
      subject.reason = reason;
      const close = reason ? { ...closes.kicked, reason: shortReason(reason) } : closes.kicked;
      return { user_id: user, closed: await connections.end(user, close) };
    }),
    route("GET", "/admin/chat/bans", "list bans", async () => (await bans.list()).map((ban) => shown(ban.userId, ban))),
  ];
}

function shown(user: string, ban: Ban | null) {
  const until = ban?.until ? time(ban.until.getTime()) : null;
  return { user_id: user, banned: ban !== null, until, reason: ban?.reason ?? null };
}

/** Of one length whatever is given, so that the comparison takes one time. */
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
