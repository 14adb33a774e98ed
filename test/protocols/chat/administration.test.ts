import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { ends } from "./client.ts";
import { ADMIN_TOKEN, call, enveloped, failed, outcome, type Stage, Stages, sharesDatabase, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterEach(() => stage.leave());
afterAll(() => stages.stop());

const ban = (user: string) => `/admin/chat/users/${user}/ban`;
const notBanned = (user_id: string) => enveloped({ user_id, banned: false, until: null, reason: null });

describe("section 3: bans", () => {
  test("C-3.6 C-3.7 C-3.9 C-3.31 a ban, what it says, and its end", async () => {
    const stage = await stages.startTimed();
    const [alice, bobby] = await stage.people(2);
    const path = ban(alice!.id);
    expect((await stage.administer("GET", path)).body).toEqual(notBanned(alice!.id));
    const forever = { user_id: alice!.id, banned: true, until: null, reason: null };
    expect((await stage.administer("POST", ban(alice!.id.toUpperCase()))).body).toEqual(enveloped(forever));
    const replaced = { ...forever, reason: "spam", until: expect.stringMatching(/Z$/) };
    const second = await stage.administer("POST", path, { reason: "spam", seconds: 60 });
    expect([second.status, second.body]).toEqual([200, enveloped(replaced)]);
    expect((await stage.administer("GET", path)).body).toEqual(enveloped(replaced));
    stage.clock.advance(1);
    await stage.administer("POST", ban(bobby!.id), {});
    const { body } = await stage.administer("GET", "/admin/chat/bans");
    expect((body as { data: { user_id: string }[] }).data).toMatchObject([replaced, { user_id: bobby!.id }]);
    for (let i = 0; i < 2; i++) {
      expect((await stage.administer("DELETE", path)).body).toEqual(notBanned(alice!.id));
    }
    const left = (await stage.administer("GET", "/admin/chat/bans")).body as { data: { user_id: string }[] };
    expect(left.data.map(({ user_id }) => user_id)).toEqual([bobby!.id]);
  });

  test("C-2.9 a banned user may read, but neither connect nor change anything", async () => {
    const [alice, bobby] = await stage.people(2);
    const room = await stage.room(alice!, bobby!);
    await stage.administer("POST", ban(alice!.id), { reason: "between us" });
    expect(await outcome(await stage.client(alice!))).toEqual(told(ends.banned));
    const refused = [
      await stage.call("POST", "/rooms", { as: alice!, body: { users: [] } }),
      await stage.call("PUT", "/rooms", { as: alice!, body: { room_id: room } }),
      await stage.call("DELETE", `/rooms/${room}`, { as: alice! }),
    ];
    for (const { status, body } of refused) expect([status, body]).toEqual([409, failed("user is banned")]);
    for (const path of ["/rooms", `/rooms/${room}`]) {
      expect((await stage.call("GET", path, { as: alice! })).status).toBe(200);
    }
    await stage.administer("DELETE", ban(alice!.id));
    expect((await (await stage.client(alice!)).say(room, "back")).confirmed).toBe(true);
  });

  test("C-3.30 a ban ends live sockets with 4005, after what they are owed; others notice nothing", async () => {
    const [alice, bobby] = await stage.people(2);
    const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
    await stage.administer("POST", ban(alice!.id));
    expect(await outcome(a)).toEqual(told(ends.banned));
    expect(b.isClosed).toBe(false);
  });

  test("C-3.31 a ban with seconds ends by itself", async () => {
    const timed = await stages.startTimed();
    const alice = await timed.person();
    await timed.administer("POST", ban(alice.id), { seconds: 60 });
    await timed.pass(59_000);
    expect(await outcome(await timed.client(alice))).toEqual(told(ends.banned));
    await timed.pass(2_000);
    expect((await timed.administer("GET", ban(alice.id))).body).toEqual(notBanned(alice.id));
    expect((await (await timed.client(alice)).say(0, "?")).confirmed).toBe(false);
  });

  test.if(sharesDatabase)("C-6.7 a ban that a node did not hear of is found within a minute", async () => {
    const timed = await stages.startTimed();
    const alice = await timed.person();
    const client = await timed.client(alice);
    // Nodes without a common backplane hear nothing of each other.
    await stage.administer("POST", ban(alice.id));
    timed.clock.advance(60_000);
    expect(await outcome(client)).toEqual(told(ends.banned));
  });
});

describe("section 3: kicks", () => {
  test("C-3.8 C-3.30 a kick ends the user's sockets with 4004, and he may come again", async () => {
    const alice = await stage.person();
    const path = `/admin/chat/users/${alice.id}/kick`;
    const first = await stage.client(alice);
    const answer = await stage.administer("POST", path);
    expect([answer.status, answer.body]).toEqual([200, enveloped({ user_id: alice.id, closed: 1 })]);
    expect(await outcome(first)).toEqual(told(ends.kicked));
    const again = await stage.client(alice);
    await stage.administer("POST", path, { reason: "be nice" });
    expect(await outcome(again)).toEqual(told({ code: 4004, reason: "be nice" }));
    expect((await stage.administer("POST", path, {})).body).toEqual(enveloped({ user_id: alice.id, closed: 0 }));
  });

  test("C-7.1 a reason that is too long for a close frame is cut in both frames, between characters", async () => {
    const alice = await stage.person();
    const client = await stage.client(alice);
    await stage.administer("POST", `/admin/chat/users/${alice.id}/kick`, { reason: "\u00e4\u{1F600}".repeat(40) });
    const { end, frames } = await outcome(client);
    expect(end.reason).toBe(`${"\u00e4\u{1F600}".repeat(20)}\u00e4`);
    expect(frames).toEqual(told(end).frames);
  });
});

describe("section 3: who administers", () => {
  test("C-3.29 the token, or 401; without the setting nothing is there", async () => {
    const { internalUrl } = stage.gateway;
    const path = "/admin/chat/bans";
    for (const authorization of ["", "Bearer", "Bearer wrong", `Bearer ${ADMIN_TOKEN}x`, `Basic ${ADMIN_TOKEN}`]) {
      const { status, body } = await call(internalUrl, "GET", path, { headers: { authorization } });
      expect([authorization, status, body]).toEqual([authorization, 401, failed("invalid admin token")]);
    }
    expect((await call(stage.url, "GET", path, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } })).status).toBe(
      404,
    );
    const closed = await stages.start({ env: { CHAT_ADMIN_TOKEN: "" } });
    expect((await closed.administer("GET", path)).status).toBe(404);
    expect((await closed.administer("POST", ban(randomUUID()))).status).toBe(404);
  });

  test("C-3.10 what is not valid", async () => {
    const user = randomUUID();
    const rows: [method: string, path: string, body: unknown, error: string][] = [
      ["POST", ban("somebody"), {}, "id is not valid"],
      ["GET", ban("7"), undefined, "id is not valid"],
      ["POST", ban(user), "{", "request body is not valid JSON"],
      ["POST", ban(user), { reason: 7 }, "reason is not valid"],
      ["POST", ban(user), { reason: "nul\0" }, "reason is not valid"],
      ["POST", ban(user), { reason: "x".repeat(501) }, "reason is not valid"],
      ["POST", ban(user), { seconds: 0 }, "seconds is not valid"],
      ["POST", ban(user), { seconds: -1 }, "seconds is not valid"],
      ["POST", ban(user), { seconds: "60" }, "seconds is not valid"],
      ["POST", ban(user), { seconds: 1e300 }, "seconds is not valid"],
      ["POST", `/admin/chat/users/${user}/kick`, { reason: {} }, "reason is not valid"],
      ["POST", "/admin/chat/users/x/kick", {}, "id is not valid"],
    ];
    for (const [method, path, body, error] of rows) {
      const answer = await stage.administer(method, path, body);
      expect([path, body, answer.status, answer.body]).toEqual([path, body, 400, failed(error)]);
    }
    expect((await stage.administer("GET", ban(user))).body).toEqual(notBanned(user));
    const wrong = await stage.administer("PUT", ban(user), {});
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST, DELETE, GET, HEAD, OPTIONS"]);
    expect((await stage.administer("GET", "/admin/chat/nothing")).body).toEqual(failed("not found"));
  });
});
