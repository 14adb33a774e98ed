import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { HANGS, type Json, SETTINGS, Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

/** What a gateway in a process of its own writes and counts, whatever it is sent. */
const stages = new Stages();
let gateway: GatewayProcess;
let stage: Stage;
beforeAll(async () => {
  const databaseUrl = await stages.databaseUrl();
  gateway = await startProcess({
    env: { ...SETTINGS, LOG_LEVEL: "info", ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }) },
  });
  stage = new Stage({ url: gateway.url, stop: () => gateway.cleanUp() }, null);
});
afterAll(async () => {
  await stage.stop();
  await stages.stop();
});

/** The lines it has written to their ends. */
const lines = (): Json[] =>
  gateway
    .output()
    .split("\n")
    .slice(0, -1)
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));

test("W-13.19 connects, closes, failed logins and refused rights are logged, what was sent is not", async () => {
  const person = await stage.person("Marker Name");
  const workspace = await stage.workspace(person, "Marker Space");
  const foreign = await stage.workspace(await stage.person(), "Foreign");
  const client = await stage.connect(person);
  expect(await client.auth(workspace, { token: "marker-token" })).toMatchObject({ message: "Invalid access token" });
  await client.auth(workspace);
  client.emit("conversation-broadcast", { action: "marker-action", data: "marker-data" });
  client.emit("marker-event", { marker: "marker-payload" });
  await client.settle();
  const channel = await stage.channel(workspace, person, { name: "Marker channel" });
  await stage.must(stage.select(client, channel));
  await stage.post("/signin", null, { credentials: { email: "marker@example.com", password: "marker-password" } });
  await stage.get(`/workspaces/${foreign}/info`, person);
  await stage.get("/me", "marker-bearer");
  await stage.get("/check-token?token=marker-query");
  await stage.post(`/workspaces/${workspace}`, person, { name: "Marker", more: "marker-key" });
  const { id } = client;
  client.close();
  await gateway.printed('"disconnected"');

  const told = lines();
  const about = (message: string, fields: object) =>
    expect(told).toContainEqual(expect.objectContaining({ msg: message, ...fields }));
  about("connected", { socket: id });
  about("disconnected", { socket: id, reason: "client" });
  about("refused", { caller: id, event: "auth", code: "invalid_access_token" });
  about("refused", { caller: person.id, route: "/workspaces/:id/info", code: "access_denied" });
  expect(told.filter(({ msg, caller }) => msg === "refused" && caller === "127.0.0.1").length).toBeGreaterThan(0);
  for (const secret of [person.token, person.credentials.refreshToken, person.email]) {
    expect(gateway.output()).not.toContain(secret);
  }
  expect(gateway.output().toLowerCase()).not.toContain("marker");

  const metrics = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
  const ours = metrics.split("\n").filter((line) => line.includes('protocol="workspaces"'));
  expect(ours.some((line) => line.includes("admitted_sockets"))).toBe(true);
  for (const name of [person.id, workspace, channel, id, "127.0.0.1"]) expect(metrics).not.toContain(name);
});

describe("W-13.5 hostile input", () => {
  test("before and after authentication it ends at most its own socket, and writes a line a second at most", async () => {
    const person = await stage.person();
    const workspace = await stage.workspace(person);
    const bystander = await stage.client(person, workspace);
    const began = Date.now();
    const hostile: unknown[] = [
      null,
      0,
      "",
      [],
      {},
      { token: {} },
      { token: "x".repeat(300) },
      { transaction: { toString: "x" } },
      JSON.parse('{"__proto__":{"token":"x"}}'),
      { action: "\0" },
      { action: "x", data: JSON.parse("[".repeat(40) + "]".repeat(40)) },
    ];
    const ids: string[] = [];
    for (const authenticated of [false, true]) {
      const client = authenticated ? await stage.client(person, workspace) : await stage.connect(person);
      ids.push(client.id);
      for (const event of ["conversation-broadcast", "nobody", "__proto__", "constructor", "auth", "auth"]) {
        for (const payload of hostile) client.emit(event, payload);
      }
      // More than twenty of them were failed logins (W-2.30).
      expect(await client.until("disconnect")).toBe("io server disconnect");
    }
    const seconds = Math.ceil((Date.now() - began) / 1000) + 1;
    expect(await bystander.rest()).toEqual([]);
    expect((await stage.get("/status")).text).toBe("OK");
    for (const id of ids) {
      // The log comes on a way of its own.
      await gateway.printed(`"socket":"${id}","reason":"kicked"`);
      const refused = lines().filter(({ msg, caller }) => msg === "refused" && caller === id);
      expect(refused.length).toBeWithin(1, seconds + 1);
    }
    expect(lines().filter(({ level }) => ["error", "fatal"].includes(level))).toEqual([]);
  });

  for (const revision of [3, 4]) {
    test(`EIO${revision} frames that are none`, async () => {
      const person = await stage.person();
      const workspace = await stage.workspace(person);
      const bystander = await stage.client(person, workspace);
      const frames: (string | Uint8Array<ArrayBuffer>)[] = [
        "42",
        "42[",
        '42["auth"',
        "42{}",
        "42[]",
        "42[null]",
        '42[{"a":1}]',
        "4",
        "9",
        "x",
        "451-",
        '451-["auth",{"_placeholder":true,"num":0}]',
        '45999999999-["auth"]',
        "49",
        `42["auth","${"x".repeat(70_000)}"]`,
        `42["auth",${"[".repeat(30_000)}${"]".repeat(30_000)}]`,
        new Uint8Array([4, 255, 0]),
        new Uint8Array(),
      ];
      for (const frame of frames) {
        const socket = new WebSocket(
          `${gateway.url.replace("http", "ws")}/socket.io/?EIO=${revision}&transport=websocket`,
        );
        const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
        await new Promise((resolve) => socket.addEventListener("message", resolve, { once: true }));
        if (revision === 4) socket.send("40");
        socket.send(frame);
        // What was harmless is followed by something that is not.
        socket.send("x");
        await closed;
      }
      await bystander.settle();
      expect(bystander.socket.connected).toBe(true);
      expect(gateway.child.exitCode).toBeNull();
      expect(lines().filter(({ level }) => ["error", "fatal"].includes(level))).toEqual([]);
    });
  }
});
