import * as v from "valibot";
import type { Route, RouteContext } from "../../http/routes.ts";
import type { Companions } from "./companions.ts";
import type { Conversations, Seat } from "./conversations.ts";
import { errors, failure } from "./errors.ts";
import { CreateRoom, MessageId } from "./messages.ts";
import { fields, listSide, Opaque, type Requests, RoomLimit, seatOf, type Visit } from "./requests.ts";
import type { RoomList } from "./room-list.ts";
import { sideOf } from "./room-name.ts";
import type { RoomViews } from "./room-views.ts";
import type { Rooms } from "./rooms.ts";
import type { StoredRoom } from "./side-state.ts";

/** What the routes work with. */
export interface RoomRouteParts {
  readonly requests: Requests;
  readonly rooms: Rooms;
  readonly list: RoomList;
  readonly views: RoomViews;
  readonly conversations: Conversations;
  readonly companions: Companions;
  /** Send `active_user_list` after each list of rooms (V-10.7). */
  readonly resendPresence: boolean;
}

const ROOMS = "/v1/conversations/rooms";

const ListQuery = v.object({
  name: Opaque,
  pinned: v.optional(v.string()),
  limit: RoomLimit,
  cursor: Opaque,
});
const Nothing = v.unknown();
const Block = v.object({ block: v.boolean() });
const Seen = v.object({ up_to: v.nullish(MessageId) });

/** V-3.19 to V-3.28. */
export function roomRoutes(parts: RoomRouteParts): Route[] {
  const { requests, rooms, list, views, conversations, companions } = parts;

  const route = (method: Route["method"], path: string, handle: (visit: Visit) => Promise<object>): Route => ({
    method,
    path: ROOMS + path,
    handler: async (context: RouteContext) => Response.json(await handle(await requests.visit(context))),
  });
  const idOf = ({ context }: Visit) => context.req.param("id") ?? "";
  const existing = async ({ room }: Seat): Promise<StoredRoom> => {
    const found = await rooms.find(room.id);
    if (!found) throw errors.fault("ROOM_NOT_FOUND");
    return found;
  };
  /** A change of one's seat that answers with the room; who changes something says as whom. */
  const change = <const Schema extends v.GenericSchema>(
    method: Route["method"],
    path: string,
    schema: Schema,
    work: (seat: Seat, input: v.InferOutput<Schema>) => Promise<object>,
  ): Route =>
    route(method, path, (visit) => {
      const input = fields(schema, visit.body);
      return work(seatOf(visit, idOf(visit), { roleRequired: true }), input);
    });

  return [
    route("GET", "", async (visit) => {
      const { pinned, ...query } = fields(ListQuery, visit.query);
      const side = listSide(visit);
      const user = visit.user.id;
      const wish = { ...query, user, side, pinned: pinned === undefined ? undefined : pinned === "1" };
      const [page, unseen] = await Promise.all([list.page(wish), list.unseen(user, side)]);
      const answer = {
        user_id: user,
        role: side,
        rooms: await views.all(page.rooms, side),
        unseen_total: unseen.messages,
        next_cursor: page.next,
      };
      if (parts.resendPresence) await companions.sendActiveUsers(user, side);
      return answer;
    }),
    route("GET", "/unseen", async (visit) => {
      const side = listSide(visit);
      const unseen = await list.unseen(visit.user.id, side);
      const filters = { user_id: visit.user.id, role: side };
      return { unseen_rooms: unseen.rooms, unseen_messages: unseen.messages, filters };
    }),
    route("GET", "/:id", async (visit) => {
      const seat = seatOf(visit, idOf(visit));
      return { room: await views.one(await existing(seat), seat.side) };
    }),
    route("POST", "", async (visit) => {
      const wish = fields(CreateRoom, visit.body);
      if (wish.buyer === wish.seller) throw errors.fault("SELF_CHAT");
      seatOf(visit, `${wish.buyer}.${wish.seller}`);
      const creation = await conversations.create(visit.user, wish);
      await conversations.introduceNew(creation, wish.creator);
      const { outcome, room } = creation;
      const view = await views.one(room, sideOf(room, wish.creator)!);
      return { status: outcome !== "exists", message: outcomes[outcome], room: view };
    }),
    change("PUT", "/:id/enable", Nothing, async (seat) => {
      const room = await conversations.enable(seat);
      return { status: true, message: "Room enabled", room: await views.one(room, seat.side) };
    }),
    change("POST", "/:id/pin", Nothing, async ({ room, side }) => {
      await rooms.pin(room.id, side, true);
      return { status: true };
    }),
    change("DELETE", "/:id/pin", Nothing, async ({ room, side }) => {
      const unpinned = await rooms.pin(room.id, side, false);
      return { status: true, room: await views.one(unpinned, side) };
    }),
    change("PUT", "/:id/seen", Seen, async (seat, { up_to }) => {
      const room = await conversations.seenUpTo(seat, up_to ?? null);
      return { status: true, room: await views.one(room, seat.side) };
    }),
    change("POST", "/:id/block", Block, async ({ room, side }, { block }) => {
      const blocked = await rooms.block(room.id, side, block);
      return { status: true, room: await views.one(blocked, side) };
    }),
    route("DELETE", "/:id", async (visit) => {
      try {
        const seat = seatOf(visit, idOf(visit));
        const deletedAt = await conversations.remove(seat);
        return { status: true, role: seat.side, deleted_at: deletedAt.toISOString() };
      } catch (error) {
        // Existing clients look at the HTTP status alone (V-3.27).
        if (errors.owns(error) && error.code === "ROOM_NOT_FOUND") return failure(error);
        throw error;
      }
    }),
  ];
}

const outcomes = { created: "Room created", exists: "Room already exists", restored: "Room restored" } as const;
