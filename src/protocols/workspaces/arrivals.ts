import { and, eq } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import { relationOf, roleIn } from "./access.ts";
import type { Change } from "./changes.ts";
import { errors } from "./errors.ts";
import type { WorkspaceRole } from "./messages.ts";
import { type Notices, rooms } from "./notices.ts";
import type { People } from "./people.ts";
import { channelMembers, workspaceMembers } from "./tables.ts";
import type { ChannelRow, Views, WorkspaceRow } from "./views.ts";

/** How somebody becomes a member of a workspace or a channel: the orders W-6.32 and W-6.43. */
export class Arrivals {
  readonly #parts: { readonly notices: Notices; readonly people: People; readonly views: Views; readonly clock: Clock };

  constructor(parts: { notices: Notices; people: People; views: Views; clock: Clock }) {
    this.#parts = parts;
  }

  /**
   * Makes a person a member of a workspace; false if he is one. Public channels are joined silently (W-6.43). A guest
   * hears nothing himself: he has no socket yet.
   */
  async joinWorkspace(
    change: Change,
    userId: string,
    workspace: WorkspaceRow,
    role: WorkspaceRole,
    inviteId: string | null,
  ): Promise<boolean> {
    const { notices, people, views } = this.#parts;
    const rows = await change.tx
      .insert(workspaceMembers)
      .values({ workspaceId: workspace.id, userId, role, inviteId, joinedAt: this.#now })
      .onConflictDoNothing()
      .returning({ userId: workspaceMembers.userId });
    if (rows.length === 0) return false;
    const person = await people.find(userId, change.tx);
    if (!person) throw errors.fault("not_found");
    change.after(() => {
      notices.userJoined(workspace.id, views.user(person));
      if (role !== "guest") notices.workspaceAdded(userId, views.workspaceFor(workspace, role));
    });
    return true;
  }

  /** Makes a member of the workspace a member of a channel; false if he is one (W-6.32). The user is held. */
  async joinChannel(change: Change, channel: ChannelRow, userId: string): Promise<boolean> {
    const { tx } = change;
    const { notices } = this.#parts;
    const { id, workspaceId } = channel;
    const role = await roleIn(tx, workspaceId, userId);
    const [row] = await tx
      .select()
      .from(channelMembers)
      .where(and(eq(channelMembers.channelId, id), eq(channelMembers.userId, userId)));
    if (relationOf(channel, role, row ?? null) !== null) return false;
    await tx
      .insert(channelMembers)
      .values({ channelId: id, userId, role: "user", joinedAt: this.#now })
      .onConflictDoUpdate({
        target: [channelMembers.channelId, channelMembers.userId],
        set: { role: "user", joinedAt: this.#now },
      });
    change.concerns(id);
    change.after(() => {
      notices.join(rooms.userIn(userId, workspaceId), rooms.channel(id));
      notices.channelCreated(rooms.user(userId), id, workspaceId);
    });
    return true;
  }

  get #now(): Date {
    return new Date(this.#parts.clock.now());
  }
}
