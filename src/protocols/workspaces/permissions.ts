import type { Database, Orm } from "../../database/database.ts";
import { Fault } from "../../errors.ts";
import {
  channelFor,
  invitesToChannel,
  invitesToWorkspace,
  isInsider,
  isLeader,
  managesChannel,
  workspaceFor,
} from "./access.ts";
import { errors } from "./errors.ts";
import type { InviteCodes } from "./invite-codes.ts";
import type { People } from "./people.ts";

/** Ids a question may be about. */
export interface Subject {
  readonly channelId?: string | undefined;
  readonly workspaceId?: string | undefined;
  readonly userId?: string | undefined;
  readonly inviteId?: string | undefined;
}

type Rule = { readonly needs: keyof Subject | null; readonly ask: (userId: string, id: string) => Promise<boolean> };

/** Questions that cannot be answered; `data` names the reason of each (W-4.25). */
export class BadQuestions extends Fault {
  readonly data: Readonly<Record<string, string>>;

  constructor(data: Readonly<Record<string, string>>) {
    super("permission_query", errors.rows.permission_query);
    this.data = data;
  }
}

/** Answers what somebody may do, as the routes would decide it (W-4.25, W-4.80). */
export class Permissions {
  readonly #rules: ReadonlyMap<string, Rule>;

  constructor(parts: { database: Database; inviteCodes: InviteCodes; people: People }) {
    this.#rules = rulesOf(parts.database.orm, parts.inviteCodes, parts.people);
  }

  /** Throws {@link BadQuestions}. */
  async ask(userId: string, actions: readonly string[], subject: Subject): Promise<Record<string, boolean>> {
    const bad = new Map<string, string>();
    for (const action of actions) {
      const rule = this.#rules.get(action);
      if (!rule) bad.set(action, "Unknow action");
      else if (rule.needs !== null && subject[rule.needs] === undefined) {
        bad.set(action, `Query parameter "${rule.needs}" is required`);
      }
    }
    if (bad.size > 0) throw new BadQuestions(Object.fromEntries(bad));
    const answers: Record<string, boolean> = {};
    for (const action of actions) {
      const { needs, ask } = this.#rules.get(action) as Rule;
      const id = needs === null ? "" : (subject[needs] as string);
      answers[action] = await allowed(ask(userId, id));
    }
    return answers;
  }
}

/** An unknown object allows nothing. */
async function allowed(answer: Promise<boolean>): Promise<boolean> {
  try {
    return await answer;
  } catch (error) {
    if (errors.owns(error)) return false;
    throw error;
  }
}

function rulesOf(orm: Orm, inviteCodes: InviteCodes, people: People): ReadonlyMap<string, Rule> {
  const channel = (check: (access: Awaited<ReturnType<typeof channelFor>>) => boolean): Rule => ({
    needs: "channelId",
    ask: async (userId, id) => check(await channelFor(orm, id, userId)),
  });
  const workspace = (check: (access: Awaited<ReturnType<typeof workspaceFor>>) => boolean): Rule => ({
    needs: "workspaceId",
    ask: async (userId, id) => check(await workspaceFor(orm, id, userId)),
  });
  return new Map<string, Rule>([
    [
      "user.viewInfo",
      {
        needs: "userId",
        async ask(userId, id) {
          if (userId === id) return true;
          const [mine, theirs] = [await people.workspacesOf(userId), await people.workspacesOf(id)];
          return mine.some((one) => theirs.includes(one));
        },
      },
    ],
    ["channel.select", channel(({ relation }) => relation !== null)],
    ["channel.viewInfo", channel(({ relation }) => relation !== null)],
    ["channel.invite", channel(invitesToChannel)],
    ["channel.update", channel(managesChannel)],
    ["channel.delete", channel(managesChannel)],
    ["channel.manageMembers", channel(({ relation }) => relation?.role === "admin")],
    ["channel.deleteAllInvites", channel(invitesToChannel)],
    ["workspace.viewInfo", workspace(({ role }) => role !== null)],
    ["workspace.update", workspace(({ role }) => isLeader(role))],
    ["workspace.delete", workspace(({ role }) => role === "admin")],
    ["workspace.createChannel", workspace(({ role }) => isInsider(role))],
    ["workspace.invite", workspace(invitesToWorkspace)],
    ["workspace.subscribeEvents", workspace(({ role }) => role !== null)],
    ["workspace.revokeAccess", workspace(({ role }) => role === "admin")],
    ["workspace.getMyInvites", workspace(({ role }) => role !== null)],
    ["workspace.getAllInvites", workspace(({ role }) => isLeader(role))],
    [
      "invite.delete",
      {
        needs: "inviteId",
        async ask(userId, id) {
          const { createdBy, workspaceId } = await inviteCodes.byId(id);
          const { role } = await workspaceFor(orm, workspaceId, userId);
          return isLeader(role) || (createdBy === userId && role !== null);
        },
      },
    ],
    ["workspaces.manage", { needs: null, ask: (userId) => people.isAdminSomewhere(userId) }],
  ]);
}
