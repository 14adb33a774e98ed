import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Cast, DENIED, errorOf, NOT_FOUND, type Place } from "./cast.ts";
import { HANGS, MEDIA, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

/** Every route of section 4 that asks for a login: who may call it, and what it says to everything else. */
const stages = new Stages();
let cast: Cast;
let stage: Stage;
let owner: Person;
let moderator: Person;
let member: Person;
let other: Person;
let stranger: Person;
beforeAll(async () => {
  cast = await Cast.open(stages);
  ({ stage, owner, moderator, member, other, stranger } = cast);
});
afterAll(() => stages.stop());

const OK = 200;
/** What stranger, guest, member, moderator and owner are answered, one after the other. */
const forMembers = [DENIED, OK, OK, OK, OK];
const forInsiders = [DENIED, DENIED, OK, OK, OK];
const forLeaders = [DENIED, DENIED, DENIED, OK, OK];
const forAdmins = [DENIED, DENIED, DENIED, DENIED, OK];
const NO_INVITING = [403, "UserCanNotInviteToWorkspace"];
const NO_CHANNELS = [403, "UserCanNotCreateChannels"];
const NO_MAIL = [400, "E-mail is not configured"];

/** Names after a colon stand for ids of the place. */
const routes: readonly [clause: string, route: string, body: object | undefined, expected: readonly unknown[]][] = [
  ["W-4.30", "GET /admin/workspaces/:workspace/users", undefined, forAdmins],
  ["W-4.32", "GET /workspaces/:workspace", undefined, [NOT_FOUND, OK, OK, OK, OK]],
  ["W-4.33", "GET /workspaces/:workspace/info", undefined, forMembers],
  ["W-4.33", "GET /workspaces/:workspace/settings", undefined, forMembers],
  ["W-4.33", "GET /workspaces/:workspace/groups", undefined, forMembers],
  ["W-4.34", "POST /workspaces/:workspace/settings", { canUsersInvite: true }, forLeaders],
  ["W-4.35", "POST /workspaces/:workspace", { name: "New name" }, forLeaders],
  ["W-4.36", "DELETE /workspaces/:workspace", { name: "The place" }, forAdmins],
  ["W-4.37", "POST /workspaces/:workspace/invites", {}, [NO_INVITING, NO_INVITING, OK, OK, OK]],
  ["W-4.38", "GET /workspaces/:workspace/invites", undefined, forMembers],
  ["W-4.38", "GET /workspaces/:workspace/invites?list=all", undefined, forLeaders],
  [
    "W-4.39",
    "POST /workspaces/:workspace/invite/email",
    { emailList: ["a@example.com"] },
    [NO_INVITING, NO_INVITING, NO_MAIL, NO_MAIL, NO_MAIL],
  ],
  ["W-4.42", "DELETE /invites/:invite", {}, forLeaders],
  ["W-4.42", "DELETE /invites/:invite?revokeAccess=true", {}, forLeaders],
  ["W-4.43", "POST /workspaces/:workspace/permissions", { userId: ":other", role: "user" }, forLeaders],
  ["W-4.43", "POST /workspaces/:workspace/permissions", { userId: ":other", role: "admin" }, forAdmins],
  [
    "W-4.45",
    "DELETE /workspaces/:workspace/members/:other",
    {},
    [DENIED, DENIED, DENIED, OK, [400, "User is not workspace member"]],
  ],
  ["W-4.45", "POST /admin/workspaces/revoke-access", { workspaceId: ":workspace", userId: ":other" }, forAdmins],
  ["W-4.50", "POST /workspaces/:workspace/channels", { name: "New" }, [NO_CHANNELS, NO_CHANNELS, OK, OK, OK]],
  ["W-4.51", "POST /workspaces/:workspace/private-talk", { users: [":other"] }, forInsiders],
  ["W-4.52", "GET /channels/:channel", undefined, forInsiders],
  ["W-4.52", "GET /channels/:channel/active-users", undefined, forInsiders],
  ["W-4.52", "GET /channels/:channel/members", undefined, forInsiders],
  ["W-4.53", "POST /channels/:channel", { name: "Renamed" }, forLeaders],
  ["W-4.54", "DELETE /channels/:channel", {}, [DENIED, DENIED, DENIED, OK, NOT_FOUND]],
  ["W-4.55", "POST /channels/:channel/add-users", { users: [":other"] }, forAdmins],
  ["W-4.56", "POST /channels/:channel/delete-users", { users: [":other"] }, forAdmins],
  ["W-4.57", "POST /channels/:channel/leave", {}, forInsiders],
  ["W-4.58", "POST /channels/:channel/permissions", { userId: ":other", role: "admin" }, forAdmins],
  ["W-4.59", "POST /channels/:channel/invite", {}, forInsiders],
  ["W-4.59", "GET /channels/:channel/invite", undefined, [DENIED, DENIED, OK, OK, OK]],
  ["W-4.61", "POST /channel-invites/:token/deactivate", {}, forInsiders],
  ["W-4.61", "DELETE /channels/:channel/invites", {}, forInsiders],
];

describe("W-4.3 W-13.14 by role", () => {
  for (const [clause, route, body, expected] of routes) {
    test(`${clause} ${route} ${body === undefined ? "" : JSON.stringify(body)}`, async () => {
      const { guest, names } = await cast.place();
      const answers: unknown[] = [];
      for (const who of [stranger, guest, member, moderator, owner]) {
        answers.push(errorOf(await cast.call(route, body, names, who)));
      }
      expect(answers).toEqual([...expected]);
    });
  }
});

/** Routes of the table, and those that need a login but no role. */
const loggedIn: readonly [route: string, body: object | undefined][] = [
  ...routes.map(([, route, body]): [string, object | undefined] => [route, body]),
  ["POST /signout", {}],
  ["POST /create-auth-link", {}],
  ["POST /password", { oldPassword: "x", password: "1234" }],
  ["GET /protected", undefined],
  ["GET /me", undefined],
  ["GET /user/:other", undefined],
  ["POST /profile", { name: "X" }],
  ["POST /me/app-settings", {}],
  ["GET /detach-account/slack", undefined],
  ["POST /me/delete", {}],
  ["GET /check-permissions?actions=workspaces.manage", undefined],
  ["POST /image", undefined],
  ["GET /workspaces", undefined],
  ["GET /admin/managed-workspaces", undefined],
  ["POST /workspaces", { name: "Mine" }],
  ["POST /join/abcdefabcdef", {}],
  ["POST /workspaces/:workspace/leave", {}],
  ["POST /channels/:channel/select?socketId=x", MEDIA],
  ["POST /channels/:channel/unselect?socketId=x", {}],
  ["POST /user/media-state?socketId=x", MEDIA],
  ["POST /user/online-status?socketId=x", { onlineStatus: "idle" }],
  ["POST /mute-for-all?socketId=x", { userId: ":other" }],
  ["POST /send-invite", { userId: ":other", channelId: ":channel", workspaceId: ":workspace", message: {} }],
  ["POST /send-invites", { users: [":other"], channelId: ":channel", workspaceId: ":workspace", message: {} }],
  ["POST /invite-response", { inviteId: ":other" }],
  ["POST /send-invite/slack", { userId: ":other", channelId: ":channel", workspaceId: ":workspace" }],
];

test("W-2.4 every route with a login says so to those without, before it looks at anything else", async () => {
  const { names } = await cast.place();
  for (const [route, body] of loggedIn) {
    const missing = await cast.call(route, body, names, null);
    expect([route, missing.body]).toEqual([
      route,
      { statusCode: 401, error: "Unauthorized", message: "Missing authentication" },
    ]);
    const bad = await cast.call(route, body && { junk: true }, { other: other.id }, "0".repeat(64));
    expect([route, bad.status, bad.body.message, bad.body.attributes]).toEqual([
      route,
      401,
      "Bad token",
      { error: "Bad token" },
    ]);
  }
});

test("W-4.2 every id in a path has to be one", async () => {
  for (const [route, body] of loggedIn) {
    if (!route.includes("/:") || route.includes("/user/")) continue;
    for (const junk of ["1", "nope", "%00", "x".repeat(300), "00000000-0000-0000-0000-000000000000'"]) {
      const names = { workspace: junk, channel: junk, invite: junk, token: junk, other: other.id };
      const { status, body: answer } = await cast.call(route, body, names, owner);
      const name = /:(?:workspace|channel|invite|token)/.test(route) ? "id" : "userId";
      expect([route, junk, status, answer]).toEqual([
        route,
        junk,
        400,
        {
          statusCode: 400,
          error: "Bad Request",
          message: "Invalid request params input",
          validation: { source: "params", keys: [name] },
        },
      ]);
    }
  }
});

test("W-4.3 what is unknown is not found", async () => {
  const { names } = await cast.place();
  const unknown = Object.fromEntries(Object.keys(names).map((name) => [name, crypto.randomUUID()]));
  for (const [route, body] of loggedIn) {
    if (!route.includes("/:")) continue;
    const socket = route.includes("socketId=x");
    if (socket || body === MEDIA) continue;
    expect([route, errorOf(await cast.call(route, body, unknown, owner))]).toEqual([route, NOT_FOUND]);
  }
});

test("W-4.1 W-4.2 a key that is not listed, a body that is no object, a wrong content type", async () => {
  const { names } = await cast.place();
  for (const [route, body] of loggedIn) {
    if (body === undefined || route.includes("app-settings")) continue;
    const extra = await cast.call(route, { ...body, extra: 1 }, names, owner);
    expect([route, extra.status, extra.body.message, extra.body.validation]).toEqual([
      route,
      400,
      "Invalid request payload input",
      { source: "payload", keys: expect.arrayContaining(["extra"]) },
    ]);
    const list = await cast.call(route, [body], names, owner);
    expect([route, list.status, list.body.validation]).toEqual([route, 400, { source: "payload", keys: [] }]);
  }
});

/** Which route each permission is about. */
const permissions: Readonly<Record<string, string>> = {
  "user.viewInfo": "GET /user/:other",
  "channel.select": "GET /channels/:channel/active-users",
  "channel.viewInfo": "GET /channels/:channel",
  "channel.invite": "POST /channels/:channel/invite",
  "channel.update": "POST /channels/:channel",
  "channel.delete": "DELETE /channels/:channel",
  "channel.manageMembers": "POST /channels/:channel/add-users",
  "channel.deleteAllInvites": "DELETE /channels/:channel/invites",
  "workspace.viewInfo": "GET /workspaces/:workspace/info",
  "workspace.update": "POST /workspaces/:workspace",
  "workspace.delete": "DELETE /workspaces/:workspace",
  "workspace.createChannel": "POST /workspaces/:workspace/channels",
  "workspace.invite": "POST /workspaces/:workspace/invites",
  "workspace.subscribeEvents": "GET /workspaces/:workspace/settings",
  "workspace.revokeAccess": "POST /admin/workspaces/revoke-access",
  "workspace.getMyInvites": "GET /workspaces/:workspace/invites",
  "workspace.getAllInvites": "GET /workspaces/:workspace/invites?list=all",
  "invite.delete": "DELETE /invites/:invite",
};
const actions = Object.keys(permissions);
const refusals: readonly unknown[] = [DENIED, NO_INVITING, NO_CHANNELS];

describe("W-4.25 W-4.80 permissions", () => {
  const ask = (query: string, who: Person) => stage.get(`/check-permissions?${query}`, who);
  const about = ({ names: { workspace, channel, invite } }: Place) =>
    `channelId=${channel}&workspaceId=${workspace}&inviteId=${invite}&userId=${other.id}`;

  test("each is what its route decides, for each role", async () => {
    const at = await cast.place();
    for (const [index, who] of [stranger, at.guest, member, moderator, owner].entries()) {
      const answers = await stage.must(ask(`actions=${actions.join(",")}&${about(at)}`, who));
      const expected = actions.map((action): [string, boolean] => {
        const row = routes.find(([, route]) => route === permissions[action]);
        // `GET /user/{id}` has no row: whoever shares a workspace may.
        return [action, row ? !refusals.includes(row[3][index]) : index > 0];
      });
      expect(answers).toEqual(Object.fromEntries(expected));
    }
    expect(await stage.must(ask("actions=workspaces.manage", owner))).toEqual({ "workspaces.manage": true });
    expect(await stage.must(ask("actions=workspaces.manage", stranger))).toEqual({ "workspaces.manage": false });
  });

  test("who made a code may end it while a member, and no longer", async () => {
    const { names } = await cast.place();
    await stage.must(stage.post(`/workspaces/${names.workspace}/invites`, member));
    const [{ id }] = await stage.must(stage.get(`/workspaces/${names.workspace}/invites`, member));
    expect(await stage.must(ask(`actions=invite.delete&inviteId=${id}`, member))).toEqual({ "invite.delete": true });
    await stage.must(stage.post(`/workspaces/${names.workspace}/leave`, member));
    expect(await stage.must(ask(`actions=invite.delete&inviteId=${id}`, member))).toEqual({ "invite.delete": false });
    expect(errorOf(await stage.delete(`/invites/${id}`, member))).toEqual(DENIED);
  });

  test("bad questions", async () => {
    const { body } = await ask("actions=channel.select,no.such,constructor.name", owner);
    expect(body).toEqual({
      statusCode: 400,
      error: "Bad Request",
      message: "Bad data for checking permissions",
      data: {
        "channel.select": 'Query parameter "channelId" is required',
        "no.such": "Unknow action",
        "constructor.name": "Unknow action",
      },
    });
    const many = Array.from({ length: 33 }, () => "workspaces.manage").join(",");
    for (const [query, key] of [
      ["", "actions"],
      ["actions=", "actions"],
      [`actions=${many}`, "actions"],
      ["actions=channel.select&channelId=1", "channelId"],
      ["actions=workspaces.manage&actions=user.viewInfo", "actions"],
    ] as const) {
      const { status, body: answer } = await ask(query, owner);
      expect([status, answer.message, answer.validation]).toEqual([
        400,
        "Invalid request query input",
        { source: "query", keys: [key] },
      ]);
    }
    const unknown = await stage.must(ask(`actions=channel.select&channelId=${crypto.randomUUID()}`, owner));
    expect(unknown).toEqual({ "channel.select": false });
  });
});
