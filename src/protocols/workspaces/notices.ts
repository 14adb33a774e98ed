import type { Namespace } from "socket.io";
import type { MediaServerState } from "./media/media.ts";
import type { MediaFlags, OnlineStatus, StoredMediaState } from "./messages.ts";
import type { UserView, WorkspaceView } from "./views.ts";

/** Rooms of sockets: the audiences of the contract, and two that only help to keep them. */
export const rooms = {
  /** W: all sockets of a workspace. */
  workspace: (id: string) => `w:${id}`,
  /** The sockets in it of everybody but guests: who becomes a member of new public channels. */
  insiders: (workspaceId: string) => `m:${workspaceId}`,
  /** U: all sockets of a user. */
  user: (id: string) => `u:${id}`,
  /** The sockets of a user in one workspace. */
  userIn: (userId: string, workspaceId: string) => `u:${userId}:${workspaceId}`,
  /** C: the sockets, in the channel's workspace, of its members. */
  channel: (id: string) => `c:${id}`,
  /** V: the sockets in the conversation. */
  conversation: (channelId: string) => `v:${channelId}`,
};

/** A socket in a conversation, as events name it. */
export interface Participant {
  readonly userId: string;
  readonly socketId: string;
  readonly channelId: string;
}

/**
 * Events to the sockets of all nodes (section 6). Everything goes through one namespace, so that a socket, wherever it
 * is, gets what one action causes in the order of the calls (W-1.19); that holds for joining and leaving rooms and for
 * final closes as well.
 */
export class Notices {
  #namespace: Namespace | null = null;

  mounted(namespace: Namespace): void {
    this.#namespace = namespace;
  }

  join(sockets: string, room: string): void {
    this.#in(sockets).socketsJoin(room);
  }

  leave(sockets: string, room: string): void {
    this.#in(sockets).socketsLeave(room);
  }

  /** Closes sockets for good (W-1.16). */
  close(socketIds: readonly string[]): void {
    if (socketIds.length > 0) this.#space.in([...socketIds]).disconnectSockets(true);
  }

  workspaceUpdated(workspace: WorkspaceView): void {
    this.#in(rooms.workspace(workspace.id)).emit("workspace-updated", { workspace });
  }

  workspaceAdded(userId: string, workspace: WorkspaceView & { userRelation: object }): void {
    this.#in(rooms.user(userId)).emit("workspace-added", { workspace });
  }

  /** @param room W, or U of one person */
  channelCreated(room: string, channelId: string, workspaceId: string): void {
    this.#in(room).emit("channel-created", { channelId, workspaceId });
  }

  channelUpdated(channel: { id: string }): void {
    this.#in(rooms.channel(channel.id)).emit("channel-updated", { channel });
  }

  /** @param room W, or U of one person */
  channelDeleted(room: string, channelId: string, workspaceId: string): void {
    this.#in(room).emit("channel-deleted", { channelId, workspaceId });
  }

  userJoined(workspaceId: string, user: UserView): void {
    this.#in(rooms.workspace(workspaceId)).emit("user-joined", { user });
  }

  userLeft(workspaceId: string, userId: string): void {
    this.#in(rooms.workspace(workspaceId)).emit("user-leaved-workspace", { userId, workspaceId });
  }

  kicked(userId: string, workspaceId: string): void {
    this.#in(rooms.user(userId)).emit("kicked-from-workspace", { workspaceId });
  }

  userUpdated(workspaceIds: readonly string[], user: UserView): void {
    for (const id of workspaceIds) this.#in(rooms.workspace(id)).emit("user-updated", { user });
  }

  meUpdated(userId: string, user: object, whatWasUpdated: "app-settings" | "social-auth"): void {
    this.#in(rooms.user(userId)).emit("me-updated", { user, whatWasUpdated });
  }

  passwordChanged(userId: string): void {
    this.#in(rooms.user(userId)).emit("password-changed", null);
  }

  /** To W of every workspace of the user; a socket is in one of them only. */
  status(workspaceIds: readonly string[], userId: string, onlineStatus: OnlineStatus): void {
    for (const id of workspaceIds) {
      this.#in(rooms.workspace(id)).emit("online-status-updated", { userId, onlineStatus });
    }
  }

  myStatus(userId: string, onlineStatus: OnlineStatus): void {
    this.#in(rooms.user(userId)).emit("my-online-status-updated", { onlineStatus });
  }

  selected({ userId, channelId, socketId }: Participant, userMediaState: MediaFlags): void {
    const event = { userId, channelId, userMediaState, socketId };
    this.#in(rooms.channel(channelId)).emit("user-selected-channel", event);
    this.join(socketId, rooms.conversation(channelId));
  }

  unselected({ userId, channelId, socketId }: Participant): void {
    this.leave(socketId, rooms.conversation(channelId));
    this.#in(rooms.channel(channelId)).emit("user-unselected-channel", { userId, channelId, socketId });
  }

  changedDevice(userId: string): void {
    this.#in(rooms.user(userId)).emit("user-changed-device", null);
  }

  mediaState(userId: string, channelId: string, userMediaState: StoredMediaState): void {
    this.#in(rooms.channel(channelId)).emit("media-state-updated", { userId, userMediaState, channelId });
  }

  muted(userId: string, fromUserId: string, socketId: string): void {
    this.#in(rooms.user(userId)).emit("muted-for-all", { fromUserId, socketId });
  }

  invite(userId: string, invite: Invite): void {
    this.#in(rooms.user(userId)).emit("invite", invite);
  }

  inviteResponse(userId: string, answer: { inviteId: string; userId: string; response: unknown }): void {
    this.#in(rooms.user(userId)).emit("invite-response", answer);
  }

  inviteCancelled(userId: string, inviteId: string): void {
    this.#in(rooms.user(userId)).emit("invite-cancelled", { inviteId });
  }

  /** What a participant says to all of a conversation (W-5.9). */
  broadcast(channelId: string, message: unknown): void {
    this.#in(rooms.conversation(channelId)).emit("conversation-broadcast", message);
  }

  /** Whether a participant's socket is lost (W-8.17, W-8.22). */
  reconnecting(channelId: string, userId: string, data: boolean): void {
    this.broadcast(channelId, { action: "socket-reconnecting", userId, data });
  }

  /** To one socket (W-10.24). */
  mediaServer(socketId: string, userId: string, data: MediaServerState): void {
    this.#in(socketId).emit("conversation-broadcast", { action: "media-server-state", userId, data });
  }

  #in(room: string) {
    return this.#space.in(room);
  }

  get #space(): Namespace {
    if (!this.#namespace) throw new Error("the endpoint is not mounted");
    return this.#namespace;
  }
}

/** Payload of `invite` (W-6.20). */
export interface Invite {
  readonly inviteId: string;
  readonly isResponseNeeded: boolean;
  /** The sender. */
  readonly userId: string;
  readonly workspaceId: string;
  readonly channelId: string;
  readonly message: object;
}
