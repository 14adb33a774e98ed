import type { Route } from "../../../http/routes.ts";
import type { CallInvites } from "../call-invites.ts";
import type { Conversations } from "../conversations.ts";
import { errors } from "../errors.ts";
import { bodies } from "../messages.ts";
import type { Gate } from "./gate.ts";

/** What the routes of conversations work with. */
export interface ConversationRouteParts {
  readonly callInvites: CallInvites;
  readonly conversations: Conversations;
  readonly gate: Gate;
}

/** W-4.70 to W-4.78 */
export function conversationRoutes({ gate, conversations, callInvites }: ConversationRouteParts): Route[] {
  return [
    gate.post("/channels/:id/select", "any", bodies.mediaState, async (call) => ({
      connectionOptions: await conversations.select(call.userId, call.socketId, call.id(), call.body),
    })),
    gate.post("/channels/:id/unselect", "any", bodies.empty, async (call) => {
      await conversations.unselect(call.userId, call.socketId, call.id());
      return "ok";
    }),
    gate.post("/user/media-state", "any", bodies.mediaState, async ({ userId, socketId, body }) => {
      await conversations.setMedia(userId, socketId, body);
      return "ok";
    }),
    gate.post("/user/online-status", "any", bodies.onlineStatus, async ({ userId, socketId, body }) => {
      await conversations.setStatus(userId, socketId, body.onlineStatus, body.cause);
      return "ok";
    }),
    gate.post("/mute-for-all", "any", bodies.mute, async ({ userId, socketId, body }) => {
      await conversations.mute(userId, socketId, body.userId);
      return "ok";
    }),
    gate.post("/send-invite", "any", bodies.invite, async ({ userId, body }) => ({
      inviteId: await callInvites.send(userId, body.userId, body),
    })),
    gate.post("/send-invites", "any", bodies.invites, async ({ userId, body }) => ({
      invites: await callInvites.sendAll(userId, body.users, body),
    })),
    gate.post("/invite-response", "any", bodies.inviteResponse, async ({ userId, body }) => {
      await callInvites.respond(userId, body.inviteId, body.response ?? {});
      return "ok";
    }),
    gate.post("/send-invite/slack", "any", bodies.slackInvite, async () => {
      throw errors.fault("no_slack");
    }),
  ];
}
