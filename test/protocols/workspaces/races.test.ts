import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { errorOf } from "./cast.ts";
import { type Answer, eventually, HANGS, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

/** The same call several times at once. */
const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

test("W-4.10 of two signups with one address at once one succeeds", async () => {
  const user = { name: "Twice", email: `${crypto.randomUUID()}@example.com`, password: "1234" };
  const answers = await Promise.all(
    ["", "X"].map((_, index) =>
      stage.post("/signup", null, { user: { ...user, email: index ? user.email.toUpperCase() : user.email } }),
    ),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
  expect(answers.find(({ status }) => status === 400)?.body.message).toBe(
    "A user with that email address has already signed up",
  );
});

test("W-13.9 the last use of a code, an auth link and a channel's token go to one of those who come at once", async () => {
  await using limited = await stages.start({ env: { WORKSPACES_INVITE_MAX_USES: "1" } });
  const host = await limited.person();
  const workspace = await limited.workspace(host);
  const { code } = await limited.must(limited.post(`/workspaces/${workspace}/invites`, host));
  const people = await Promise.all(Array.from({ length: 5 }, () => limited.person()));
  const joins = await Promise.all(people.map((person) => limited.post(`/join/${code}`, person)));
  expect(joins.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400, 400]);
  expect((await limited.must(limited.get(`/workspaces/${workspace}`, host))).users).toHaveLength(2);

  const link = (await limited.must(limited.post("/create-auth-link", host))).code;
  const logins = await Promise.all([1, 2, 3, 4].map(() => limited.post(`/signin/link/${link}`, null)));
  expect(logins.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400]);

  const channel = await limited.channel(workspace, host);
  const invites = await Promise.all([1, 2, 3].map(() => limited.post(`/channels/${channel}/invite`, host)));
  expect(new Set(invites.map(({ body }) => body.id)).size).toBe(1);
  const guests = await Promise.all(
    [1, 2, 3].map((n) => limited.post(`/channels/join/${invites[0]?.body.token}`, null, { name: `Guest ${n}` })),
  );
  expect(guests.map(({ status }) => status).sort()).toEqual([200, 400, 400]);
});

test("W-4.22 settings that are merged at once are all kept", async () => {
  const person = await stage.person();
  const keys = Array.from({ length: 10 }, (_, index) => `key${index}`);
  await Promise.all(keys.map((key) => stage.must(stage.post("/me/app-settings", person, { all: { [key]: 1 } }))));
  expect(Object.keys((await stage.must(stage.get("/me", person))).appSettings.all).sort()).toEqual(keys);
});

test("W-4.44 W-4.45 of two admins who kick each other one stays", async () => {
  const creator = await stage.person();
  const workspace = await stage.workspace(creator);
  const [one, two] = [await stage.member(workspace, creator), await stage.member(workspace, creator)];
  for (const who of [one, two]) await stage.role(workspace, creator, who, "admin");
  const answers = await Promise.all([
    stage.delete(`/workspaces/${workspace}/members/${two.id}`, one),
    stage.delete(`/workspaces/${workspace}/members/${one.id}`, two),
  ]);
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 403]);
});

/** Makes calls wait for rows that `hold` has locked, all of them, and lets them go on after `last`; null without Postgres. */
async function waitingFor(
  hold: (tx: postgres.TransactionSql) => Promise<unknown>,
  calls: () => Promise<Answer>[],
  last?: (tx: postgres.TransactionSql) => Promise<unknown>,
): Promise<Answer[] | null> {
  const url = await stages.databaseUrl();
  if (url === undefined) {
    console.error("*** NOT TESTED: without Postgres nobody can hold a row ***");
    return null;
  }
  const sql = postgres(url, { max: 2 });
  const waiting = () => sql`select from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database()`;
  try {
    const called = await sql.begin(async (tx) => {
      await hold(tx);
      const under = calls();
      await eventually(async () => (await waiting()).length === under.length);
      await last?.(tx);
      return { under };
    });
    return await Promise.all(called.under);
  } finally {
    await sql.end();
  }
}

test("W-4.56 W-13.9 of two admins of a channel who put each other out one stays", async () => {
  const one = await stage.person();
  const workspace = await stage.workspace(one);
  const two = await stage.member(workspace, one);
  const channel = await stage.channel(workspace, one, { isPrivate: true });
  await stage.must(stage.post(`/channels/${channel}/add-users`, one, { users: [two.id] }));
  await stage.must(stage.post(`/channels/${channel}/permissions`, one, { userId: two.id, role: "admin" }));
  const answers = await waitingFor(
    (tx) => tx`select from workspaces.channels where id = ${channel} for update`,
    () => [
      stage.post(`/channels/${channel}/delete-users`, one, { users: [two.id] }),
      stage.post(`/channels/${channel}/delete-users`, two, { users: [one.id] }),
    ],
  );
  if (!answers) return;
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 403]);
  const stayed = answers[0]?.status === 200 ? one : two;
  const members = await stage.must(stage.get(`/channels/${channel}/members`, stayed));
  expect(members.map((member: { id: string }) => member.id)).toEqual([stayed.id]);
});

test("W-13.14 what is deleted while a call goes on is unknown to it, no fault of ours", async () => {
  const owner = await stage.person();
  const workspace = await stage.workspace(owner);
  const answers = await waitingFor(
    (tx) => tx`delete from workspaces.workspaces where id = ${workspace}`,
    () => [
      stage.post(`/workspaces/${workspace}/channels`, owner, { name: "Too late" }),
      stage.post(`/workspaces/${workspace}/invites`, owner),
    ],
  );
  for (const answer of answers ?? []) expect(errorOf(answer)).toEqual([404, "Not found"]);
});

test("W-13.14 a code and the end of its workspace do not fail over each other", async () => {
  const owner = await stage.person();
  const workspace = await stage.workspace(owner);
  const answers = await waitingFor(
    async (tx) => {
      // So that Postgres ends the call and not this.
      await tx`set local deadlock_timeout = '1h'`;
      await tx`select from workspaces.users where id = ${owner.id} for update`;
    },
    () => [stage.post(`/workspaces/${workspace}/invites`, owner)],
    (tx) => tx`delete from workspaces.workspaces where id = ${workspace}`,
  );
  for (const answer of answers ?? []) expect(errorOf(answer)).toEqual([404, "Not found"]);
});
