import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { Seal } from "../../../../src/protocols/workspaces/seal.ts";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { postgresUrl } from "../../../support/postgres.ts";
import { startProcess } from "../../../support/process.ts";
import { eventually, HANGS, SETTINGS, Stage, Stages } from "../stage.ts";
import { type Relay, startRelay } from "./relay.ts";
import { environmentOf } from "./stage.ts";

setDefaultTimeout(HANGS);

/** Requests to Janus after which the gateway is killed, one round each: in the middle of making rooms and tokens. */
const KILLED_AFTER = [2, 6, 9, 13, 20];

describe.skipIf(!janusAvailable || postgresUrl === undefined)("a gateway that is killed", () => {
  let janus: TestJanus;
  let relay: Relay;
  let stages: Stages;
  let sql: postgres.Sql;
  let env: Record<string, string>;

  beforeAll(async () => {
    janus = await startJanus();
    relay = startRelay(janus);
    stages = new Stages();
    const url = (await stages.databaseUrl()) ?? "";
    env = { ...SETTINGS, ...environmentOf([relay.janus]), DATABASE_URL: url };
    sql = postgres(url, { max: 1, onnotice: () => {} });
  });

  afterAll(async () => {
    await sql.end();
    await stages.stop();
    await relay.close();
    await janus.close();
  });

  /** Tokens on record. */
  async function recorded(): Promise<string[]> {
    const seal = new Seal(SETTINGS.WORKSPACES_SECRET_KEY);
    const rows = await sql<{ token: string }[]>`
      select server_token as token from workspaces.media_grants
      union all select token from workspaces.media_node_tokens`;
    return rows.map(({ token }) => seal.open(token));
  }

  test("W-10.12 kill -9 in the middle of selects leaves no token unknown, and all of it is removed in time", async () => {
    for (const killedAfter of KILLED_AFTER) {
      const gateway = await startProcess({ env: { ...env, LOG_LEVEL: "info" } });
      await using stage = new Stage({ url: gateway.url, stop: gateway.cleanUp }, null);
      const owner = await stage.person();
      const workspace = await stage.workspace(owner);
      const people = [owner, await stage.member(workspace, owner), await stage.member(workspace, owner)];
      const channels = [await stage.channel(workspace, owner), await stage.channel(workspace, owner)];
      const clients = await Promise.all(people.map((person) => stage.client(person, workspace)));
      let left = killedAfter;
      relay.spoil(() => {
        if (--left === 0) gateway.child.kill("SIGKILL");
        return false;
      });
      const selects = clients.map((client, index) => stage.select(client, channels[index % 2] ?? ""));
      await Promise.allSettled(selects);
      gateway.child.kill("SIGKILL");
      await gateway.child.exited;
      relay.spoil(null);
      const known = await recorded();
      expect((await janus.tokens()).filter((token) => !known.includes(token))).toEqual([]);
    }

    // Whoever starts next removes all of it: after the sweep only its own token is left, and no room.
    const last = await stages.startTimed(env);
    await eventually(async () => {
      await last.pass(10_000);
      const left = await sql`select id::text from workspaces.media_grants
          union all select channel_id::text from workspaces.media_hostings`;
      return left.length === 0 && (await janus.tokens()).length === 1;
    });
  }, 300_000);
});
