import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { postgresUrl } from "../../support/postgres.ts";
import { type GatewayProcess, startProcess } from "../../support/process.ts";
import { startProxy, type TcpProxy } from "../../support/proxy.ts";
import { Client, confirmed, ends, received, tempId } from "./client.ts";
import { call, failed, outcome, type Person, person, SECRET, type Stage, Stages, told } from "./stage.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const stages = new Stages();
afterAll(() => stages.stop());

/** A gateway whose way to Postgres can be cut, and one beside it whose way cannot. */
async function severable(): Promise<{ stage: Stage; beside: Stage; proxy: TcpProxy; end(): Promise<void> }> {
  const url = new URL((await stages.databaseUrl()) as string);
  const proxy = await startProxy({ host: url.hostname, port: Number(url.port || 5432) });
  url.host = `127.0.0.1:${proxy.port}`;
  const stage = await stages.start({ env: { DATABASE_URL: url.href } });
  const beside = await stages.start();
  return {
    stage,
    beside,
    proxy,
    async end() {
      proxy.restore();
      await stage.stop();
      await proxy.close();
    },
  };
}

/** Sends a message whose statement is under way when its answers are cut off, and waits for its commit. */
async function commitUnheard(client: Client, room: number, proxy: TcpProxy): Promise<string> {
  // One for the transaction, one to look on: inside a transaction the list of connections stays as it was.
  const sql = postgres((await stages.databaseUrl()) as string, { max: 2 });
  const count = async () => (await sql`select from chat.messages where room_id = ${room}`).length;
  const before = await count();
  const id = await sql.begin(async (tx) => {
    await tx`select from chat.rooms where id = ${room} for update`;
    const id = client.send(room, "in doubt");
    const waiting = () => sql`select from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database()`;
    await eventually(async () => (await waiting()).length > 0);
    proxy.mute();
    return id;
  });
  await eventually(async () => (await count()) > before);
  await sql.end();
  return id;
}

/** Waits for something that takes the time another process takes. */
async function eventually<T>(attempt: () => Promise<T | null | undefined | false>): Promise<T> {
  for (;;) {
    const result = await attempt();
    if (result) return result;
    await Bun.sleep(20);
  }
}

describe.if(postgresUrl !== undefined)("Postgres away", () => {
  test("C-6.5 open sockets stay and are told, new ones get 4006, REST 503, and it all comes back by itself", async () => {
    const { stage, proxy, end } = await severable();
    try {
      const [alice, bobby] = await stage.people(2);
      const room = await stage.room(alice!, bobby!);
      const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
      await a.say(room, "before");
      await b.next();
      proxy.cut();
      // A message given to a connection that is just breaking would be in doubt.
      await eventually(async () => (await stage.call("GET", "/rooms", { as: alice! })).status === 503);
      for (let i = 0; i < 3; i++) {
        for (const client of [a, b]) {
          expect(await client.say(room, `away ${i}`)).toMatchObject({ confirmed: false, reason: "server error" });
        }
      }
      const late = await stage.knock(`/chat/ws?token=${(await stage.person()).token}`).opened();
      expect(await outcome(late)).toEqual(told(ends.serverError));
      for (const [method, path, body] of [
        ["GET", "/rooms", undefined],
        ["GET", `/rooms/${room}`, undefined],
        ["POST", "/rooms", { users: [] }],
        ["PUT", "/rooms", { room_id: room }],
        ["DELETE", `/rooms/${room}`, undefined],
      ] as const) {
        const answer = await stage.call(method, path, { as: alice!, ...(body ? { body } : {}) });
        expect([path, answer.status, answer.body]).toEqual([path, 503, failed("service unavailable")]);
      }
      for (const client of [a, b]) expect(client.isClosed).toBe(false);
      proxy.restore();
      await eventually(async () => (await b.say(room, "after")).confirmed);
      expect(await a.next()).toEqual(received(room, bobby!.id, "after"));
      expect(await stage.texts(alice!, room)).toEqual(["before", "after"]);
    } finally {
      await end();
    }
  });

  test("5 s under load: every sender gets an answer, what is refused is not stored, what is confirmed is", async () => {
    const { stage, beside, proxy, end } = await severable();
    try {
      const people = await stage.people(12);
      const quiet = await stage.person();
      const room = await stage.room(people[0]!, ...people.slice(1), quiet);
      const idle = await stage.client(quiet);
      const results = new Map<string, "confirmed" | "refused" | "closed">();
      let going = true;
      const live = async (who: Person) => {
        for (let number = 0; going; number++) {
          const client = await stage.client(who);
          try {
            for (; going; number++) {
              const text = `${who.id} ${number}`;
              results.set(text, "closed");
              const answer = await client.say(room, text);
              results.set(text, answer.confirmed ? "confirmed" : "refused");
              if (!answer.confirmed) expect(answer.reason).toBe("server error");
              await Bun.sleep(Math.random() * 40);
            }
          } catch {
            // Only an end that asks the app to come back.
            expect((await client.closed).code).toBe(4006);
            await Bun.sleep(50);
          }
        }
      };
      const load = Promise.all(people.map(live));
      await Bun.sleep(500);
      proxy.cut();
      // Each of the others may have a message in doubt, which is not answered before the store is back or too late.
      await eventually(async () => (await stage.call("GET", "/rooms", { as: quiet })).status === 503);
      expect(await idle.say(room, "while it is away")).toMatchObject({ confirmed: false, reason: "server error" });
      results.set("while it is away", "refused");
      await Bun.sleep(5_000);
      proxy.restore();
      const before = [...results.values()].filter((result) => result === "confirmed").length;
      await eventually(async () => {
        const now = [...results.values()].filter((result) => result === "confirmed").length;
        return now > before + people.length * 3;
      });
      going = false;
      await load;
      const texts = await beside.texts(people[0]!, room);
      expect(new Set(texts).size).toBe(texts.length);
      const stored = new Set(texts);
      for (const [text, result] of results) {
        if (result !== "closed")
          expect([text, result, stored.has(text)]).toEqual([text, result, result === "confirmed"]);
      }
    } finally {
      await end();
    }
  });

  test("C-4.19 an answer that is lost after the commit: the key is looked up, confirmed and delivered once", async () => {
    const { stage, beside, proxy, end } = await severable();
    try {
      const [alice, bobby] = await stage.people(2);
      const room = await stage.room(alice!, bobby!);
      const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
      await a.say(room, "before");
      await b.next();
      const id = await commitUnheard(a, room, proxy);
      expect((await beside.texts(alice!, room)).at(-1)).toBe("in doubt");
      proxy.cut();
      proxy.restore();
      expect(await a.next()).toEqual(confirmed(id));
      expect(await b.next()).toEqual(received(room, alice!.id, "in doubt"));
      expect((await a.say(room, "in doubt", id)).confirmed).toBe(true);
      expect((await a.say(room, "end")).confirmed).toBe(true);
      expect(await b.next()).toEqual(received(room, alice!.id, "end"));
      expect(await stage.texts(alice!, room)).toEqual(["before", "in doubt", "end"]);
    } finally {
      await end();
    }
  });

  test("C-4.19 when nobody can be asked the socket is closed with 4006 and without a confirmation", async () => {
    const { stage, beside, proxy, end } = await severable();
    try {
      const [alice, bobby] = await stage.people(2);
      const room = await stage.room(alice!, bobby!);
      const [a, b] = [await stage.client(alice!), await stage.client(bobby!)];
      await a.say(room, "before");
      await b.next();
      const id = await commitUnheard(a, room, proxy);
      expect((await beside.texts(alice!, room)).at(-1)).toBe("in doubt");
      proxy.cut();
      expect(await outcome(a)).toEqual(told(ends.serverError));
      proxy.restore();
      // The app comes back and sends it again.
      const again = await eventually(async () => {
        const client = await stage.client(alice!);
        return (await client.say(room, "in doubt", id).catch(() => null))?.confirmed ? client : null;
      });
      await again.say(room, "end");
      expect(await beside.texts(alice!, room)).toEqual(["before", "in doubt", "end"]);
      expect(b.isClosed).toBe(false);
    } finally {
      await end();
    }
  });

  test("a statement that was held up on its way stores nothing that was refused", async () => {
    const { stage, beside, proxy, end } = await severable();
    try {
      const alice = await stage.person();
      const room = await stage.room(alice);
      const a = await stage.client(alice);
      await a.say(room, "before");
      proxy.stall();
      const id = a.send(room, "held up");
      // It is answered in any case: refused, or not at all and closed.
      const answer = await a.confirmation(id).catch(() => null);
      proxy.restore();
      if (answer) expect(answer.confirmed).toBe(true);
      else expect(await a.closed).toEqual(ends.serverError);
      const again = await eventually(async () => {
        const client = await stage.client(alice);
        return (await client.say(room, "held up", id).catch(() => null))?.confirmed ? client : null;
      });
      await again.say(room, "end");
      expect(await beside.texts(alice, room)).toEqual(["before", "held up", "end"]);
    } finally {
      await end();
    }
  });
});

describe.if(postgresUrl !== undefined)("a node that is killed", () => {
  const ROUNDS = 20;
  const SENDERS = 4;

  const nodes: Promise<GatewayProcess>[] = [];
  afterEach(async () => {
    for (const node of await Promise.allSettled(nodes)) if (node.status === "fulfilled") await node.value.cleanUp();
  });

  /** A node of its own process, started again by us as by any supervisor where Postgres does not serve it in time. */
  const node = async (): Promise<GatewayProcess> => {
    const started = startProcess({
      env: {
        DATABASE_URL: (await stages.databaseUrl()) as string,
        PROTOCOLS: "chat",
        CHAT_JWT_SECRET: SECRET,
        CHAT_SEND_RATE: "1000000",
        CHAT_SEND_BURST: "1000000",
        LOG_LEVEL: "info",
      },
    });
    nodes.push(started);
    return await started.catch((error) => {
      if (!String(error).includes("the database does not serve")) throw error;
      return node();
    });
  };

  /** Sends one after the other, first what was not confirmed before, until the node is gone. */
  async function live(url: string, who: Person, room: number, unconfirmed: Map<string, string>, done: Set<string>) {
    const client = new Client(`${url}/chat/ws?token=${who.token}`);
    try {
      await client.opened();
      for (;;) {
        const [id, text] = unconfirmed.entries().next().value ?? [tempId(), `${who.id} ${randomUUID()}`];
        unconfirmed.set(id, text);
        const answer = await client.say(room, text, id);
        // Refused, it is sent again.
        if (!answer.confirmed) continue;
        unconfirmed.delete(id);
        done.add(text);
      }
    } catch {
      client.close();
    }
  }

  test(`C-6.1 ${ROUNDS} times at random moments under load: every confirmed message is in the history exactly once`, async () => {
    const people = await Promise.all(Array.from({ length: SENDERS }, () => person()));
    const unconfirmed = people.map(() => new Map<string, string>());
    const done = new Set<string>();
    let current = await node();
    const users = people.map(({ id }) => id);
    const made = await call(current.url, "POST", "/rooms", { as: people[0]!, body: { users } });
    const room = (made.body as { data: number }).data;
    for (let round = 0; round < ROUNDS; round++) {
      const next = node();
      const before = done.size;
      const { url, child } = current;
      const load = people.map((who, i) => live(url, who, room, unconfirmed[i]!, done));
      await eventually(async () => done.size > before + SENDERS);
      await Bun.sleep(Math.random() * 200);
      child.kill("SIGKILL");
      await Promise.all(load);
      await current.cleanUp();
      current = await next;
    }
    const { body } = await call(current.url, "GET", `/rooms/${room}`, { as: people[0]! });
    const texts = (body as { messages: { message: string }[] }).messages.map(({ message }) => message);
    expect(new Set(texts).size).toBe(texts.length);
    const stored = new Set(texts);
    expect([...done].filter((text) => !stored.has(text))).toEqual([]);
    expect(done.size).toBeGreaterThan(ROUNDS * SENDERS);
  }, 600_000);
});
