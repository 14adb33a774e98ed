import type { Route, RouteContext } from "../../../http/routes.ts";
import { Refusal } from "../errors.ts";
import { bearer } from "../ingress/http-door.ts";
import { sameSecret } from "../secrets.ts";
import type { AdminParts } from "./parts.ts";
import { unitRoutes } from "./units.ts";
import { userRoutes } from "./users.ts";

/** Administration, on the internal port (F-1.4, F-3.22 to F-3.27). What it is asked to change is kept (F-10.4). */
export function adminRoutes(parts: AdminParts): Route[] {
  return [...unitRoutes(parts), ...userRoutes(parts)].map(({ method, path, handler }) => ({
    method,
    path: `/admin/fleet${path}`,
    async handler(context: RouteContext) {
      const given = bearer(context);
      if (given === null || !sameSecret(given, parts.settings.adminToken)) throw new Refusal("unauthorized");
      if (method === "GET") return handler(context);
      const note = (result: number) => {
        const uid = Number(context.req.param("uid") ?? Number.NaN);
        const action = `${method} ${new URL(context.req.url).pathname}`;
        parts.audit.note({ user: null, uid: Number.isSafeInteger(uid) ? uid : null, action, result: String(result) });
      };
      try {
        const response = await handler(context);
        note(response.status);
        return response;
      } catch (error) {
        note(error instanceof Refusal ? error.status : 500);
        throw error;
      }
    },
  }));
}
