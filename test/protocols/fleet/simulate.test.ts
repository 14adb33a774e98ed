import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type GatewayProcess, projectRoot, startProcess } from "../../support/process.ts";
import type { Frame } from "./socket.ts";
import { environment, Node, type TestUser } from "./stage.ts";

setDefaultTimeout(300_000);

let gateway: GatewayProcess;
let node: Node;
/** Where the gateway keeps its secrets, as a person finds them who runs commands beside it. */
let dataDir: string;
beforeAll(async () => {
  const { FLEET_ADMIN_TOKEN: _, ...env } = environment;
  gateway = await startProcess({
    env: { ...env, PROTOCOLS: "fleet", FLEET_COMMANDS: "getio,setdigout,reboot", FLEET_COMMAND_QUEUE_TTL_S: "60" },
  });
  node = new Node(gateway.url, gateway.internalUrl);
  dataDir = /"folder":"([^"]*)\/db"/.exec(gateway.output())?.[1] ?? "";
});
afterAll(() => gateway.cleanUp());

/** `patchbay fleet <words>` beside the gateway: lines as they come, and all it says in the end. */
function patchbay(...words: string[]) {
  const child = Bun.spawn([process.execPath, "src/main.ts", "fleet", ...words, "--admin", gateway.internalUrl], {
    cwd: projectRoot,
    env: { PATH: process.env.PATH ?? "", DATA_DIR: dataDir },
    stdout: "pipe",
    stderr: "pipe",
  });
  const lines: string[] = [];
  let wake = Promise.withResolvers<void>();
  let ended = false;
  const read = (async () => {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of child.stdout) {
      const pieces = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = pieces.pop()!;
      lines.push(...pieces.filter(Boolean));
      wake.resolve();
      wake = Promise.withResolvers();
    }
    ended = true;
    wake.resolve();
  })();
  return {
    async line(index: number): Promise<string> {
      while (lines.length <= index) {
        if (ended) throw new Error(`ended before line ${index}: ${await new Response(child.stderr).text()}`);
        await wake.promise;
      }
      return lines[index]!;
    },
    async end(signal?: "SIGTERM") {
      if (signal) child.kill(signal);
      const complaints = await new Response(child.stderr).text();
      await read;
      return { lines, complaints, code: await child.exited };
    },
    /** Ends it the hard way, if it still runs. */
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** The user the simulation made, by the line that tells how to look on. */
async function lookOn(line: string): Promise<TestUser> {
  const credentials = /-u (\S+)/.exec(line)?.[1] ?? "";
  const user = { login: "simulation", password: "", basic: `Basic ${btoa(credentials)}` };
  const { data } = (await node.call("POST", `${node.url}/ws/websocketAuth`, {}, { authorization: user.basic })).body;
  return { ...user, user_id: (data as { user_id: number }).user_id };
}

test.each(["link", "osmand"])("fleet simulate --over %s: records, I/O, commands and drivers", async (over) => {
  await using simulation = patchbay(
    "simulate",
    "--vehicles",
    "3",
    "--every",
    "0.2",
    "--over",
    over,
    "--url",
    gateway.url,
  );
  expect(await simulation.line(0)).toStartWith("3 vehicles report to ");
  const user = await lookOn(await simulation.line(1));
  const client = await node.watcher(user, { snapshot: true });
  // Of this simulation: what the snapshot tells (total 0) may be of the one before.
  const moving = ({ params }: Frame) =>
    params.type === "records" && Number(params.total) > 0 && "io" in (params.lastRecord as { exd: object }).exd;
  const { uid } = (await client.until(moving)) as { uid: number };
  const ask = async (id: string, cmd: string) => {
    client.send({ type: "api", query: { id, uid, cmd } });
    const status = await client.until(({ params }) => params.type === "cmd-status" && params.id === id);
    expect(status.params.status).toBe(true);
  };
  // Switched on by a command: the output's change is an event of the next record, whatever the way.
  await ask("on", "setdigout 1");
  const isOutput = ({ params }: Frame) =>
    params.type === "event" && (params.record as { exd: { tlm?: object } }).exd.tlm !== undefined;
  const changed = await client.until(
    (frame) => frame.uid === uid && isOutput(frame) && JSON.stringify(frame).includes('"tlm":{"tio":101,"tlv":1}'),
  );
  expect(changed.params["sub-type"]).toBe("io");
  if (over === "link") {
    await ask("io", "getio");
    const parsed = await client.until(({ params }) => params.type === "cmd-parsed" && params.id === "io");
    const levels = parsed.params.cmd as Record<string, { tlv: number }>;
    expect(Object.keys(levels)).toEqual(["1", "2", "101", "201"]);
    expect(levels["101"]?.tlv).toBe(1);
    await ask("no", "reboot");
    expect((await client.until(({ params }) => params.type === "error")).params).toMatchObject({ code: "cmd-failed" });
  }
  const content = { type: "msg", txt: "Call the depot", user_id: user.user_id, user_name: "Dispatch" };
  client.send({ type: "pnd-api", query: { uid, content } });
  await client.until(({ params }) => params.type === "msg-sts" && params.txs === 5);
  // Drivers of all vehicles say what they deliver meanwhile.
  const isReply = ({ params }: Frame) =>
    params.type === "pnd-msg" && (params.event as { txt: string }).txt === "On my way";
  await client.until((frame) => frame.uid === uid && isReply(frame));
  const { lines, code } = await simulation.end("SIGTERM");
  const [, sent, stored, heard] =
    /^(\d+) records sent, (\d+) stored, (\d+) commands heard$/.exec(lines.at(-1) ?? "") ?? [];
  expect([Number(stored) > 0, Number(sent) >= Number(stored), Number(heard), code]).toEqual([
    true,
    true,
    over === "link" ? 3 : 1,
    0,
  ]);
  client.close();
});

test("fleet unit and fleet user say what is wrong, and a try that failed is not in the way of the next", async () => {
  const made = await patchbay("unit", "truck").end();
  const uid = /^uid +(\d+)$/m.exec(made.lines.join("\n"))?.[1] ?? "";
  const failed = await patchbay("user", "ann", "--units", `${uid},999999`).end();
  expect([failed.code, failed.complaints]).toEqual([1, expect.stringContaining("there is no unit 999999")]);
  expect((await patchbay("user", "ann", "--units", uid).end()).lines).toEqual([
    expect.stringMatching(/^user_id +\d+$/),
    expect.stringMatching(/^password +\S{32}$/),
  ]);
  dataDir = `${dataDir}/elsewhere`;
  const stranger = await patchbay("unit", "car").end();
  expect([stranger.code, stranger.complaints]).toEqual([
    1,
    expect.stringContaining("FLEET_ADMIN_TOKEN is another one"),
  ]);
});
