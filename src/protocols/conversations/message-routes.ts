import * as v from "valibot";
import type { Route } from "../../http/routes.ts";
import type { History, Page } from "./history.ts";
import { checkUser, fields, Opaque, OptionalMoment, PageLimit, type Requests, seatOf, type Visit } from "./requests.ts";
import { roomName, type Side } from "./room-name.ts";

const DEFAULT_LIMIT = 15;
const DEFAULT_UNSEEN_LIMIT = 200;

const Query = v.object({
  room_id: v.optional(v.string(), ""),
  limit: PageLimit,
  created_at: v.optional(v.string()),
  from: OptionalMoment,
  to: OptionalMoment,
  before: Opaque,
  after: Opaque,
});
type Query = v.InferOutput<typeof Query>;

const NOTHING: Page = { data: [], hasMore: false };

/** V-3.29, V-3.30. */
export function messageRoutes({ requests, history }: { requests: Requests; history: History }): Route[] {
  const route = (
    path: string,
    read: (query: Query, side: Side, visit: Visit) => Promise<Page>,
    bounds: ("from" | "to")[],
  ): Route => ({
    method: "GET",
    path: `/v1/conversations/messages${path}`,
    async handler(context) {
      const visit = await requests.visit(context);
      const query = fields(Query, visit.query);
      const side = readerSide(visit, query.room_id);
      const { data, hasMore } = side === null ? NOTHING : await read(query, side, visit);
      const shown = (bound: "from" | "to") => (bounds.includes(bound) ? momentText(query[bound]) : null);
      const filters = { message_count: data.length, from: shown("from"), to: shown("to") };
      return Response.json({ room_id: query.room_id, filters, data, has_more: hasMore });
    },
  });
  return [
    route(
      "",
      ({ room_id, limit = DEFAULT_LIMIT, created_at, ...bounds }, side) =>
        history.page({ ...bounds, roomId: room_id, side, limit, oldestFirst: created_at === "1" }),
      ["from", "to"],
    ),
    route(
      "/unseen",
      ({ room_id, limit = DEFAULT_UNSEEN_LIMIT, from, after }, side, { user }) =>
        history.unseen(user.id, { roomId: room_id, side, limit, from, after }),
      ["from"],
    ),
  ];
}

/** The reader's side; null for what is no room id, which has no messages (V-3.38). */
function readerSide(visit: Visit, roomId: string): Side | null {
  if (roomName(roomId)) return seatOf(visit, roomId).side;
  checkUser(visit);
  return null;
}

const momentText = (moment: number | undefined) => (moment === undefined ? null : new Date(moment).toISOString());
