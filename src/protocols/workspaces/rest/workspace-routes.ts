import type { Route } from "../../../http/routes.ts";
import { demand, invitesToWorkspace, isLeader, workspaceFor } from "../access.ts";
import type { Changes } from "../changes.ts";
import type { Channels } from "../channels.ts";
import { errors, InvalidInput } from "../errors.ts";
import type { InviteCodes } from "../invite-codes.ts";
import type { Mailer } from "../mail.ts";
import { bodies } from "../messages.ts";
import type { People } from "../people.ts";
import type { Talks } from "../talks.ts";
import type { Views } from "../views.ts";
import type { Workspaces } from "../workspaces.ts";
import type { Call, Gate } from "./gate.ts";

/** What the routes of workspaces work with. */
export interface WorkspaceRouteParts {
  readonly changes: Changes;
  readonly channels: Channels;
  readonly gate: Gate;
  readonly inviteCodes: InviteCodes;
  readonly mailer: Mailer | null;
  readonly people: People;
  readonly talks: Talks;
  readonly views: Views;
  readonly workspaces: Workspaces;
}

/** W-4.30 to W-4.51 */
export function workspaceRoutes(parts: WorkspaceRouteParts): Route[] {
  return [...viewRoutes(parts), ...changeRoutes(parts), ...memberRoutes(parts), ...inviteRoutes(parts)];
}

function viewRoutes({ gate, workspaces, views }: WorkspaceRouteParts): Route[] {
  return [
    gate.get("/workspaces", "any", ({ userId }) => workspaces.list(userId)),
    gate.get("/admin/managed-workspaces", "any", ({ userId }) => workspaces.list(userId, "admin")),
    gate.get("/admin/workspaces/:id/users", "any", async (call) => ({
      users: await workspaces.members(call.userId, call.id()),
    })),
    gate.get("/workspaces/:id", "any", (call) => workspaces.state(call.userId, call.id())),
    gate.get("/workspaces/:id/info", "any", async (call) =>
      views.workspace((await workspaces.forMember(call.userId, call.id())).workspace),
    ),
    gate.get("/workspaces/:id/settings", "any", async (call) =>
      views.workspaceSettings((await workspaces.forMember(call.userId, call.id())).workspace),
    ),
    gate.get("/workspaces/:id/groups", "any", async (call) => {
      await workspaces.forMember(call.userId, call.id());
      return [];
    }),
  ];
}

function changeRoutes({ gate, workspaces, channels, talks }: WorkspaceRouteParts): Route[] {
  return [
    gate.post("/workspaces", "account", bodies.newWorkspace, async ({ userId, body }) => ({
      workspace: await workspaces.create(userId, body),
    })),
    gate.post("/workspaces/:id/settings", "any", bodies.workspaceSettings, async (call) => ({
      workspace: await workspaces.setSettings(call.userId, call.id(), call.body.canUsersInvite),
    })),
    gate.post("/workspaces/:id", "any", bodies.workspace, async (call) => ({
      workspace: await workspaces.update(call.userId, call.id(), call.body),
    })),
    gate.post(
      "/workspaces/:id",
      "any",
      bodies.workspaceName,
      async (call) => {
        await workspaces.erase(call.userId, call.id(), call.body.name);
        return "ok";
      },
      "DELETE",
    ),
    gate.post("/workspaces/:id/channels", "any", bodies.newChannel, async (call) => ({
      channel: await channels.create(call.userId, call.id(), call.body),
    })),
    gate.post("/workspaces/:id/private-talk", "any", bodies.talk, async (call) => ({
      channel: await talks.open(call.userId, call.id(), call.body.users),
    })),
  ];
}

function memberRoutes({ gate, workspaces }: WorkspaceRouteParts): Route[] {
  return [
    gate.post("/workspaces/:id/permissions", "any", bodies.role, async (call) => {
      await workspaces.setRole(call.userId, call.id(), call.body.userId, call.body.role);
      return "ok";
    }),
    gate.post("/workspaces/:id/leave", "any", bodies.empty, async (call) => {
      await workspaces.leave(call.userId, call.id());
      return "ok";
    }),
    gate.post(
      "/workspaces/:id/members/:userId",
      "any",
      bodies.empty,
      async (call) => {
        await workspaces.kick(call.userId, call.id(), call.id("userId"), { byModerators: true });
        return "ok";
      },
      "DELETE",
    ),
    gate.post("/admin/workspaces/revoke-access", "any", bodies.revokeAccess, async ({ userId, body }) => {
      await workspaces.kick(userId, body.workspaceId, body.userId, { byModerators: false });
      return "ok";
    }),
  ];
}

function inviteRoutes(parts: WorkspaceRouteParts): Route[] {
  const { gate, workspaces, inviteCodes, people, views, changes, mailer } = parts;
  /** The workspace, if the caller may invite to it (W-4.37). */
  const inviter = async (call: Call<unknown>) => {
    const access = await workspaceFor(changes.orm, call.id(), call.userId);
    if (!invitesToWorkspace(access)) throw errors.fault("cannot_invite");
    return access.workspace;
  };
  /** A change of its own: where the workspace is deleted meanwhile, the two may wait for each other. */
  const codeFor = (workspaceId: string, userId: string, email?: string) =>
    changes.run(({ tx }) => inviteCodes.createForWorkspace(tx, workspaceId, userId, email));
  return [
    gate.post("/workspaces/:id/invites", "any", bodies.empty, async (call) => ({
      code: await codeFor((await inviter(call)).id, call.userId),
    })),
    gate.get("/workspaces/:id/invites", "any", async (call) => {
      const list = call.query("list") ?? "my";
      if (list !== "my" && list !== "all") throw new InvalidInput("query", ["list"]);
      const { role, workspace } = await workspaces.forMember(call.userId, call.id());
      demand(list === "my" || isLeader(role));
      return inviteCodes.list(workspace.id, list === "my" ? call.userId : undefined);
    }),
    gate.post("/workspaces/:id/invite/email", "any", bodies.emailInvites, async (call) => {
      const { id, name } = await inviter(call);
      if (!mailer) throw errors.fault("no_mail");
      for (const email of new Set(call.body.emailList.map((address) => address.toLowerCase()))) {
        mailer.invitation(email, name, await codeFor(id, call.userId, email));
      }
      return "ok";
    }),
    gate.get("/check/:code", "none", async (call) => {
      const found = await inviteCodes.find(call.code());
      const inviter = found && (await people.find(found.code.createdBy));
      if (!found || !inviter) throw errors.fault("unknown_code");
      const { email } = found.code;
      return {
        user: views.user(inviter),
        workspace: views.workspace(found.workspace),
        ...(email === null ? {} : { email }),
      };
    }),
    gate.post("/join/:code", "account", bodies.empty, async (call) => {
      const { email, isEmailVerified } = await people.confidential(call.userId);
      const workspace = await changes.ofUser(call.userId, (change) =>
        inviteCodes.redeem(change, call.code(), call.userId, isEmailVerified ? email : null),
      );
      return { workspace: views.workspace(workspace) };
    }),
    gate.post(
      "/invites/:id",
      "any",
      bodies.empty,
      async (call) => {
        const revokeAccess = call.flag("revokeAccess");
        const { id, createdBy, workspaceId } = await inviteCodes.byId(call.id());
        const { role } = await workspaceFor(changes.orm, workspaceId, call.userId);
        demand(isLeader(role) || (createdBy === call.userId && role !== null && !revokeAccess));
        await inviteCodes.disable(id);
        if (revokeAccess) await workspaces.kickInvited(workspaceId, [id]);
        return "ok";
      },
      "DELETE",
    ),
  ];
}
