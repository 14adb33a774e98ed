import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { databaseKinds, freshDatabase } from "../../support/postgres.ts";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { environment, Node, type TestUnit, type TestUser, urlOf } from "./stage.ts";

setDefaultTimeout(1_200_000);

/** Starts of a gateway that is killed: 20 over both kinds of database. */
const ROUNDS = { postgres: 20, embedded: 5 };

describe.each([...databaseKinds])("kill -9 on %s", (kind) => {
  test("F-6.3 F-6.7 what was confirmed is there after the restart, once", async () => {
    const database = await freshDatabase(kind);
    const running: GatewayProcess[] = [];
    try {
      const { dataDir } = database;
      const env = { ...environment, ...urlOf(database), PROTOCOLS: "fleet", LOG_LEVEL: "info" };
      const confirmed = new Set<string>();
      let unit: TestUnit | undefined;
      let user: TestUser | undefined;
      const base = Date.now() - 80_000_000;
      let next = 0;
      for (let round = 0; round <= ROUNDS[kind]; round++) {
        const gateway = await startProcess({ env, dataDir });
        running.push(gateway);
        const node = new Node(gateway.url, gateway.internalUrl);
        unit ??= await node.unit();
        user ??= await node.user(unit);
        if (round === ROUNDS[kind]) {
          expect(await faultsOf(node, user, unit, base, confirmed)).toEqual({ missing: [], repeated: [] });
          break;
        }
        const killAfter = 20 + ((round * 37) % 80);
        const before = confirmed.size;
        // Both doors at once.
        const tracker = await node.device(unit);
        const link = (async () => {
          for (;;) {
            const tmx = new Date(base + next++ * 1000).toISOString();
            tracker.send({ t: "records", seq: 1, records: [{ tmx, loc: { lat: 1, lon: 2 } }] });
            if ((await tracker.text()).startsWith('{"t":"ack"')) confirmed.add(tmx);
          }
        })();
        const http = (async () => {
          for (;;) {
            const time = base + next++ * 1000;
            const { status } = await node.osmand({
              id: unit.unique_id,
              key: unit.key,
              lat: "1",
              lon: "2",
              timestamp: String(time),
            });
            if (status === 200) confirmed.add(new Date(time).toISOString());
          }
        })();
        const ended = Promise.allSettled([link, http]);
        while (confirmed.size < before + killAfter) await Bun.sleep(1);
        gateway.child.kill("SIGKILL");
        await ended;
        await gateway.child.exited;
      }
    } finally {
      for (const gateway of running) await gateway.cleanUp();
      await database.remove();
    }
  });
});

/** What of the confirmed is not in the history, and what is there twice. */
async function faultsOf(
  node: Node,
  user: TestUser,
  { uid: vehicleId }: TestUnit,
  from: number,
  confirmed: ReadonlySet<string>,
) {
  const seen: string[] = [];
  let dateBegin = new Date(from).toISOString();
  const dateEnd = new Date().toISOString();
  for (;;) {
    const { body } = await node.rest("vehicleHistoric", user, { vehicleId, dateBegin, dateEnd });
    seen.push(...(body.data as { tmx: string }[]).map(({ tmx }) => tmx));
    if (!body.truncated) break;
    dateBegin = String(body.next);
  }
  const stored = new Set(seen);
  return {
    missing: [...confirmed].filter((tmx) => !stored.has(tmx)),
    repeated: seen.filter((tmx, index) => seen.indexOf(tmx) !== index),
  };
}
