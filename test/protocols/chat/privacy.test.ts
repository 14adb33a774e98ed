import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { abuse } from "../../support/abuse.ts";
import { freshDatabase, postgresUrl } from "../../support/postgres.ts";
import { startProcess } from "../../support/process.ts";
import { Client } from "./client.ts";
import { ADMIN_TOKEN, call, person, SECRET, Stages } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
afterAll(() => stages.stop());

describe("what is logged", () => {
  test("C-2.10 C-3.32 C-6.8 administration is; tokens and texts are not, whatever fails", async () => {
    const database = await freshDatabase(postgresUrl ? "postgres" : "embedded");
    const node = await startProcess({
      env: {
        ...(database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl }),
        PROTOCOLS: "chat",
        CHAT_JWT_SECRET: SECRET,
        CHAT_ADMIN_TOKEN: ADMIN_TOKEN,
        CHAT_MODERATION_URL: "http://127.0.0.1:9/",
        LOG_LEVEL: "trace",
      },
    });
    try {
      const alice = await person();
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
      const path = `/admin/chat/users/${alice.id}`;
      const client = await new Client(`${node.url}/chat/ws?token=${alice.token}`).opened();
      const { body } = await call(node.url, "POST", "/rooms", { as: alice, body: { users: [] } });
      // The hook is away, which is logged; the message is not.
      await client.say((body as { data: number }).data, "a private text");
      client.raw('{"type":"SendMessage","data":{"room_id":"1","message":"a private text","message_temp_id":"temp"}}');
      await client.closed;
      await call(node.url, "GET", `/rooms/1?token=${alice.token}`, { as: alice });
      await call(node.internalUrl, "POST", `${path}/ban`, { headers, body: { reason: "made trouble", seconds: 5 } });
      await call(node.internalUrl, "POST", `${path}/ban`, { headers, body: { reason: 7 } });
      await call(node.internalUrl, "POST", "/admin/chat/users/nobody/kick", { headers });
      await call(node.internalUrl, "POST", `${path}/kick`, { headers: { authorization: "Bearer wrong" } });
      await node.printed("invalid_admin_token");
      const lines = node.output().split("\n");
      const ban = lines.find((line) => line.includes('"action":"ban"')) ?? "{}";
      expect(JSON.parse(ban)).toMatchObject({
        level: "info",
        address: "127.0.0.1",
        action: "ban",
        user: alice.id,
        reason: "made trouble",
      });
      const refused = lines.filter((line) => line.includes('"administration refused"')).map((line) => JSON.parse(line));
      expect(refused).toMatchObject([
        { address: "127.0.0.1", action: "ban", user: alice.id, refused: "invalid_reason" },
        { address: "127.0.0.1", action: "kick", user: "nobody", refused: "invalid_id" },
        { address: "127.0.0.1", action: "kick", user: alice.id, refused: "invalid_admin_token" },
      ]);
      expect(lines.some((line) => line.includes("moderation hook did not answer"))).toBe(true);
      for (const secret of [alice.token, alice.token.split(".")[2]!, "private text", SECRET, ADMIN_TOKEN]) {
        expect(node.output()).not.toContain(secret);
      }
    } finally {
      await node.cleanUp();
      await database.remove();
    }
  });
});

test("whatever is thrown at it, the chat answers with no server error and goes on", async () => {
  const stage = await stages.start();
  const alice = await stage.person();
  const room = await stage.room(alice);
  const client = await stage.client(await stage.person());
  const summary = await abuse(
    {
      url: stage.url,
      paths: ["/rooms", "/chat/rooms", `/rooms/${room}`, `/chat/ws?token=${alice.token}`, `/?token=${alice.token}`],
      samples: [
        JSON.stringify({ type: "SendMessage", data: { room_id: room, message: "x", message_temp_id: "temp-1" } }),
        JSON.stringify({ type: "RefreshToken", data: { token: alice.token } }),
        JSON.stringify({ users: [alice.id], apartment_id: 7 }),
        JSON.stringify({ room_id: room, users_to_add: [alice.id], users_to_remove: [] }),
      ],
    },
    { seed: 7, count: 2_000 },
  );
  expect(summary.faults).toEqual([]);
  expect(client.isClosed).toBe(false);
  expect((await client.say(0, "?")).reason).toBe("not a participant of this room");
});
