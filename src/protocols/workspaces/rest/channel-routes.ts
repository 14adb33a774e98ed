import type { Route } from "../../../http/routes.ts";
import { channelFor, demand, invitesToChannel } from "../access.ts";
import type { Changes } from "../changes.ts";
import type { Channels } from "../channels.ts";
import type { Conversations } from "../conversations.ts";
import { lockChannel } from "../departures.ts";
import { errors } from "../errors.ts";
import type { Guests } from "../guests.ts";
import type { InviteCodes } from "../invite-codes.ts";
import { bodies } from "../messages.ts";
import type { Views } from "../views.ts";
import type { Workspaces } from "../workspaces.ts";
import type { Call, Gate } from "./gate.ts";

/** What the routes of channels work with. */
export interface ChannelRouteParts {
  readonly changes: Changes;
  readonly channels: Channels;
  readonly conversations: Conversations;
  readonly gate: Gate;
  readonly guests: Guests;
  readonly inviteCodes: InviteCodes;
  readonly views: Views;
  readonly workspaces: Workspaces;
}

/** W-4.52 to W-4.61 */
export function channelRoutes(parts: ChannelRouteParts): Route[] {
  return [...viewRoutes(parts), ...changeRoutes(parts), ...inviteRoutes(parts)];
}

function viewRoutes({ gate, channels, conversations, views }: ChannelRouteParts): Route[] {
  const inside = async (id: string) => (await conversations.participants([id])).get(id) ?? [];
  return [
    gate.get("/channels/:id", "any", async (call) => {
      const { channel } = await channels.forMember(call.userId, call.id());
      return { channel: views.channel(channel), users: await inside(channel.id) };
    }),
    gate.get("/channels/:id/active-users", "any", async (call) => {
      const { channel } = await channels.forMember(call.userId, call.id());
      return inside(channel.id);
    }),
    gate.get("/channels/:id/members", "any", (call) => channels.members(call.userId, call.id())),
  ];
}

function changeRoutes({ gate, channels }: ChannelRouteParts): Route[] {
  return [
    gate.post("/channels/:id", "any", bodies.channel, async (call) => ({
      channel: await channels.update(call.userId, call.id(), call.body),
    })),
    gate.post(
      "/channels/:id",
      "any",
      bodies.empty,
      async (call) => {
        await channels.erase(call.userId, call.id());
        return "ok";
      },
      "DELETE",
    ),
    gate.post("/channels/:id/add-users", "any", bodies.people, async (call) => {
      await channels.addUsers(call.userId, call.id(), call.body.users);
      return "ok";
    }),
    gate.post("/channels/:id/delete-users", "any", bodies.people, async (call) => {
      await channels.deleteUsers(call.userId, call.id(), call.body.users);
      return "ok";
    }),
    gate.post("/channels/:id/leave", "any", bodies.empty, async (call) => {
      await channels.leave(call.userId, call.id());
      return "ok";
    }),
    gate.post("/channels/:id/permissions", "any", bodies.role, async (call) => {
      await channels.setRole(call.userId, call.id(), call.body.userId, call.body.role);
      return "ok";
    }),
  ];
}

function inviteRoutes({ gate, changes, guests, inviteCodes, workspaces }: ChannelRouteParts): Route[] {
  /** The channel, if the caller may make and end its invites (W-4.59, W-4.61). */
  const inviter = async (call: Call<unknown>, channelId: string) => {
    const access = await channelFor(changes.orm, channelId, call.userId);
    demand(invitesToChannel(access));
    return access.channel;
  };
  return [
    gate.post("/channels/:id/invite", "any", bodies.empty, async (call) => {
      const channel = await inviter(call, call.id());
      return changes.run(async ({ tx }) => {
        if (!(await lockChannel(tx, channel.id))) throw errors.fault("not_found");
        return inviteCodes.makeForChannel(tx, channel, call.userId);
      });
    }),
    gate.get("/channels/:id/invite", "any", async (call) => {
      const { id } = await inviter(call, call.id());
      const invite = await inviteCodes.forChannel(id);
      if (!invite) throw errors.fault("no_channel_invite");
      return invite;
    }),
    gate.post("/channels/join/:token", "none", bodies.guest, (call) => guests.join(call.code("token"), call.body.name)),
    gate.post("/channel-invites/:id/deactivate", "any", bodies.empty, async (call) => {
      const { id, channelId, workspaceId } = await inviteCodes.tokenById(call.id());
      await inviter(call, channelId);
      await inviteCodes.disable(id);
      await workspaces.kickInvited(workspaceId, [id]);
      return "ok";
    }),
    gate.post(
      "/channels/:id/invites",
      "any",
      bodies.empty,
      async (call) => {
        const revokeAccess = call.flag("revokeAccess");
        const { id, workspaceId } = await inviter(call, call.id());
        const ended = await inviteCodes.disableForChannel(id);
        if (revokeAccess) await workspaces.kickInvited(workspaceId, ended);
        return "ok";
      },
      "DELETE",
    ),
  ];
}
