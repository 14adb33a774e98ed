import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { HANGS, type Json, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
let stage: Stage;
let owner: Person;
let member: Person;
let workspace: string;
beforeAll(async () => {
  stage = await stages.startTimed();
});
afterAll(() => stages.stop());
beforeEach(async () => {
  stage.leave();
  owner = await stage.person("Olga Owner");
  workspace = await stage.workspace(owner, "Our place");
  member = await stage.member(workspace, owner, "Max Member");
});

const errorOf = ({ status, body }: { status: number; body: Json }) => [status, body.message];
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

describe("workspaces", () => {
  test("W-4.31 W-4.32 W-3.13 W-3.16 making one, and its state with exactly the listed keys", async () => {
    const state = await stage.must(stage.get(`/workspaces/${workspace}`, member));
    const times = { createdAt: TIME, updatedAt: TIME };
    expect(state).toEqual({
      workspace: { id: workspace, name: "Our place", creatorId: owner.id, ...times, userRelation: { role: "user" } },
      channels: [
        {
          id: expect.any(String),
          name: "general",
          creatorId: owner.id,
          isPrivate: false,
          isTemporary: false,
          ...times,
          userRelation: { role: "user", usageCount: 0 },
          users: [],
        },
      ],
      users: [
        { ...plain(owner), role: "admin", onlineStatus: "offline", callsCount: 0 },
        { ...plain(member), role: "user", onlineStatus: "offline", callsCount: 0 },
      ],
    });
    const stranger = await stage.person();
    for (const id of [workspace, crypto.randomUUID()]) {
      expect(errorOf(await stage.get(`/workspaces/${id}`, stranger))).toEqual([404, "Not found"]);
    }
  });

  test("W-4.30 W-4.33 W-4.34 lists, info, settings, groups and administration", async () => {
    expect((await stage.must(stage.get("/workspaces", member))).map(({ id }: Json) => id)).toEqual([workspace]);
    expect(await stage.must(stage.get("/admin/managed-workspaces", member))).toEqual([]);
    expect(await stage.must(stage.get("/admin/managed-workspaces", owner))).toHaveLength(1);
    const { users } = await stage.must(stage.get(`/admin/workspaces/${workspace}/users`, owner));
    expect(users.map(({ email, latestActivityAt }: Json) => [email, latestActivityAt])).toEqual(
      expect.arrayContaining([[member.email, null]]),
    );
    expect((await stage.get(`/admin/workspaces/${workspace}/users`, member)).status).toBe(403);
    expect(await stage.must(stage.get(`/workspaces/${workspace}/groups`, member))).toEqual([]);
    expect((await stage.must(stage.get(`/workspaces/${workspace}/info`, member))).name).toBe("Our place");
    const set = (who: Person) => stage.post(`/workspaces/${workspace}/settings`, who, { canUsersInvite: false });
    expect((await set(member)).status).toBe(403);
    expect((await stage.must(set(owner))).workspace.canUsersInvite).toBe(false);
    expect((await stage.must(stage.get(`/workspaces/${workspace}/settings`, member))).canUsersInvite).toBe(false);
    expect(errorOf(await stage.post(`/workspaces/${workspace}/invites`, member))).toEqual([
      403,
      "UserCanNotInviteToWorkspace",
    ]);
  });

  test("W-4.35 W-6.4 a change is told to everybody in it", async () => {
    const client = await stage.client(member, workspace);
    expect((await stage.post(`/workspaces/${workspace}`, member, { name: "Mine now" })).status).toBe(403);
    expect((await stage.post(`/workspaces/${workspace}`, owner, {})).body.validation.source).toBe("payload");
    const { workspace: changed } = await stage.must(stage.post(`/workspaces/${workspace}`, owner, { name: "Renamed" }));
    expect(await client.rest()).toEqual([["workspace-updated", { workspace: changed }]]);
    expect(changed.name).toBe("Renamed");
  });

  test("W-4.41 W-6.43 W-15.22 joining by code: user-joined, workspace-added, then a status; again is silent", async () => {
    const watcher = await stage.client(owner, workspace);
    const { code } = await stage.must(stage.post(`/workspaces/${workspace}/invites`, member));
    expect(code).toMatch(/^[A-Za-z0-9]{12}$/);
    const person = await stage.person("New Comer");
    const elsewhere = await stage.client(person, await stage.workspace(person));
    await elsewhere.rest();
    const joined = await stage.must(stage.post(`/join/${code}`, person));
    expect(joined.workspace.id).toBe(workspace);
    const { email: _, ...seen } = plain(person);
    expect(await watcher.rest()).toEqual([["user-joined", { user: seen }]]);
    expect(await elsewhere.rest()).toEqual([
      ["workspace-added", { workspace: { ...joined.workspace, userRelation: { role: "user" } } }],
    ]);
    await stage.must(stage.post(`/join/${code}`, person));
    expect(await watcher.rest()).toEqual([]);
    expect(errorOf(await stage.post("/join/abcdefabcdef", person))).toEqual([400, "InvalidCode"]);
    const signed = await stage.person("By Code", code);
    expect(await watcher.names()).toEqual(["user-joined"]);
    expect((await stage.must(stage.get("/workspaces", signed))).length).toBe(1);
  });

  test("W-4.38 W-4.40 W-4.42 looking at codes, and revoking one with the access it gave", async () => {
    const { code } = await stage.must(stage.post(`/workspaces/${workspace}/invites`, owner));
    const person = await stage.person("Short Stay");
    await stage.must(stage.post(`/join/${code}`, person));
    const checked = await stage.must(stage.get(`/check/${code}`));
    expect([checked.user.id, checked.user.email, checked.workspace.id]).toEqual([owner.id, undefined, workspace]);
    expect(await stage.must(stage.get(`/workspaces/${workspace}/invites`, person))).toEqual([]);
    expect((await stage.get(`/workspaces/${workspace}/invites?list=all`, person)).status).toBe(403);
    const all = await stage.must(stage.get(`/workspaces/${workspace}/invites?list=all`, owner));
    const invite = all.find((one: Json) => one.code === code);
    expect(Object.keys(invite).sort()).toEqual(
      ["code", "createdAt", "createdBy", "expiredAt", "id", "updatedAt", "workspaceId"].sort(),
    );
    expect((await stage.delete(`/invites/${invite.id}?revokeAccess=true`, person)).status).toBe(403);
    const client = await stage.client(person, workspace);
    await stage.must(stage.delete(`/invites/${invite.id}?revokeAccess=true`, owner));
    expect(await client.until("kicked-from-workspace")).toEqual({ workspaceId: workspace });
    expect((await stage.get(`/check/${code}`)).status).toBe(400);
    expect((await stage.delete(`/invites/${crypto.randomUUID()}`, owner)).status).toBe(404);
    expect(
      errorOf(await stage.post(`/workspaces/${workspace}/invite/email`, owner, { emailList: ["a@b.cd"] })),
    ).toEqual([400, "E-mail is not configured"]);
  });

  test("W-4.43 W-4.44 W-4.45 roles, leaving and kicking, and who may not", async () => {
    const second = await stage.member(workspace, owner, "Second Admin");
    const kick = (by: Person, who: string) => stage.delete(`/workspaces/${workspace}/members/${who}`, by);
    const role = (by: Person, userId: string, name: string) =>
      stage.post(`/workspaces/${workspace}/permissions`, by, { userId, role: name });
    expect((await role(member, second.id, "admin")).status).toBe(403);
    await stage.must(role(owner, second.id, "admin"));
    expect(errorOf(await role(second, owner.id, "user"))).toEqual([403, "Cannot demote workspace creator"]);
    expect(errorOf(await role(owner, crypto.randomUUID(), "user"))).toEqual([400, "User is not workspace member"]);
    expect((await kick(member, second.id)).status).toBe(403);
    expect(errorOf(await kick(second, owner.id))).toEqual([403, "Cannot kick workspace creator"]);
    expect(errorOf(await kick(owner, crypto.randomUUID()))).toEqual([400, "User is not workspace member"]);
    expect(errorOf(await stage.post(`/workspaces/${workspace}/leave`, owner))).toEqual([
      403,
      "User can't leave the workspace because he is the last admin",
    ]);
    const stranger = await stage.person();
    expect(errorOf(await stage.post(`/workspaces/${workspace}/leave`, stranger))).toEqual([403, "Access denied"]);
    const [watcher, client] = [await stage.client(owner, workspace), await stage.client(member, workspace)];
    const channel = await stage.channel(workspace, owner);
    await stage.must(stage.select(client, channel));
    await watcher.rest();
    await client.rest();
    await stage.must(stage.post(`/workspaces/${workspace}/leave`, member));
    await client.until("disconnect");
    const names = client.told.slice(-6).map(([event]) => event);
    expect(names).toEqual([
      "user-unselected-channel",
      "channel-deleted",
      "channel-deleted",
      "user-leaved-workspace",
      "kicked-from-workspace",
      "disconnect",
    ]);
    expect(await watcher.names()).toEqual(["user-unselected-channel", "user-leaved-workspace"]);
    const revoke = { workspaceId: workspace, userId: second.id };
    expect((await stage.post("/admin/workspaces/revoke-access", owner, revoke)).text).toBe("ok");
    expect(await watcher.names()).toEqual(["user-leaved-workspace"]);
  });

  test("W-4.25 W-4.80 permissions are what the routes decide", async () => {
    const channel = await stage.channel(workspace, owner);
    const about = `channelId=${channel}&workspaceId=${workspace}&userId=${owner.id}`;
    const actions = [
      "user.viewInfo",
      "channel.select",
      "channel.delete",
      "workspace.update",
      "workspace.createChannel",
    ];
    const ask = (who: Person) => stage.must(stage.get(`/check-permissions?actions=${actions.join(",")}&${about}`, who));
    const allowed = (...names: string[]) => Object.fromEntries(actions.map((name) => [name, names.includes(name)]));
    expect(await ask(owner)).toEqual(allowed(...actions));
    expect(await ask(member)).toEqual(allowed("user.viewInfo", "channel.select", "workspace.createChannel"));
    expect(await ask(await stage.person())).toEqual(allowed());
    const bad = await stage.get("/check-permissions?actions=channel.select,no.such", owner);
    expect(bad.body).toEqual({
      statusCode: 400,
      error: "Bad Request",
      message: "Bad data for checking permissions",
      data: { "channel.select": 'Query parameter "channelId" is required', "no.such": "Unknow action" },
    });
    const names = await stage.get("/check-permissions?actions=__proto__,constructor", owner);
    expect([names.status, Object.entries(names.body.data)]).toEqual([
      400,
      [
        ["__proto__", "Unknow action"],
        ["constructor", "Unknow action"],
      ],
    ]);
    expect(await stage.must(stage.get("/check-permissions?actions=workspaces.manage", member))).toEqual({
      "workspaces.manage": false,
    });
  });
});

/** A person as others of the workspace see him. */
function plain({ id, name, email }: Person) {
  return { id, name, email, isEmailVerified: false, createdAt: TIME, updatedAt: TIME };
}
