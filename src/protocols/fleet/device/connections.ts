import { eq, or } from "drizzle-orm";
import { BackplaneUnavailable } from "../../../backplane/backplane.ts";
import type { Cancel, Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { Log } from "../../../observe/log.ts";
import type { Fanout } from "../fanout.ts";
import { connectionFrame } from "../frames.ts";
import { unitState } from "../tables.ts";
import type { Links, Role } from "./links.ts";

/** What the connections work with. */
export interface ConnectionParts {
  readonly database: Database;
  readonly links: Links;
  readonly fanout: Fanout;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Whether units are connected (F-5.10, F-6.10). What watchers were told last stands in the unit's row, and only who
 * changes it there tells the next, so every change is told once over all nodes.
 */
export class Connections {
  readonly #parts: ConnectionParts;
  readonly #grace: number;
  readonly #waiting = new Map<string, Cancel>();
  readonly #pending = new Set<Promise<void>>();
  readonly #stop: () => void;

  constructor(parts: ConnectionParts, grace: number) {
    this.#parts = parts;
    this.#grace = grace;
    this.#stop = parts.links.onChange((uid, role) => this.#later(uid, role));
  }

  /** A link has come: watchers hear of it before anything of its data (F-5.10). */
  async came(uid: number, role: Role): Promise<void> {
    this.#waiting.get(`${role} ${uid}`)?.();
    this.#waiting.delete(`${role} ${uid}`);
    await this.#refresh(uid, role);
  }

  /** A link has gone; watchers hear of it after the grace, unless it is back by then. */
  left(uid: number, role: Role): void {
    if (this.#grace === 0) {
      this.#later(uid, role);
      return;
    }
    const name = `${role} ${uid}`;
    this.#waiting.get(name)?.();
    const cancel = this.#parts.clock.after(this.#grace, () => {
      this.#waiting.delete(name);
      this.#later(uid, role);
    });
    this.#waiting.set(name, cancel);
  }

  /** Traccar's word (F-12.21). Resolves when it is committed. */
  async traccarSays(uid: number, online: boolean): Promise<void> {
    await this.#refresh(uid, "tracker", online);
  }

  /** Puts right what a crash or an outage left behind. */
  async reconcile(): Promise<void> {
    const { database, links } = this.#parts;
    const rows = await database.orm
      .select({
        uid: unitState.uid,
        connected: unitState.connected,
        pnd: unitState.pndConnected,
        traccar: unitState.traccarOnline,
      })
      .from(unitState)
      .where(or(eq(unitState.connected, true), eq(unitState.pndConnected, true)));
    const linked = new Set((await links.all()).map(({ uid, role }) => `${role} ${uid}`));
    const told = new Set<string>();
    for (const { uid, connected, pnd, traccar } of rows) {
      if (connected) told.add(`tracker ${uid}`);
      if (pnd) told.add(`pnd ${uid}`);
      if (connected && !traccar && !this.#isThere(linked, `tracker ${uid}`)) await this.#refresh(uid, "tracker");
      if (pnd && !this.#isThere(linked, `pnd ${uid}`)) await this.#refresh(uid, "pnd");
    }
    for (const uid of links.uidsHere()) {
      for (const role of ["tracker", "pnd"] as const) {
        if (links.here(uid, role) && !told.has(`${role} ${uid}`)) await this.#refresh(uid, role);
      }
    }
  }

  /** Tells at once what waits for its grace, and waits until all is told. */
  async close(): Promise<void> {
    this.#stop();
    for (const [name, cancel] of this.#waiting) {
      cancel();
      const [role, uid] = name.split(" ");
      this.#later(Number(uid), role as Role);
    }
    this.#waiting.clear();
    await Promise.all(this.#pending);
  }

  /** One that waits for its grace counts as linked. */
  #isThere(linked: ReadonlySet<string>, name: string): boolean {
    return linked.has(name) || this.#waiting.has(name);
  }

  #later(uid: number, role: Role): void {
    const work = this.#refresh(uid, role)
      .catch((error) => this.#parts.log.warn({ error }, "a connection's change waits for the next look"))
      .finally(() => this.#pending.delete(work));
    this.#pending.add(work);
  }

  /** Compares what is with what was told. The row's lock keeps two nodes from telling past each other. */
  async #refresh(uid: number, role: Role, traccarOnline?: boolean): Promise<void> {
    const { database, fanout } = this.#parts;
    const changed = await database.orm.transaction(async (tx) => {
      const own = eq(unitState.uid, uid);
      const [state] = await tx
        .select({ connected: unitState.connected, pnd: unitState.pndConnected, traccar: unitState.traccarOnline })
        .from(unitState)
        .where(own)
        .for("update");
      if (!state) return null;
      const online = traccarOnline ?? state.traccar;
      const now = (role === "tracker" && online) || (await this.#isLinked(uid, role));
      const before = role === "tracker" ? state.connected : state.pnd;
      if (online !== state.traccar || now !== before) {
        const flag = role === "tracker" ? { connected: now } : { pndConnected: now };
        await tx
          .update(unitState)
          .set({ ...flag, traccarOnline: online })
          .where(own);
      }
      return now === before ? null : now;
    });
    if (changed === null) return;
    fanout.toUnit(uid, connectionFrame(uid, role === "tracker" ? "connection" : "pnd-connection", changed ? 1 : 0));
  }

  /** While the backplane is away, what is known here must do. */
  async #isLinked(uid: number, role: Role): Promise<boolean> {
    const { links } = this.#parts;
    try {
      return (await links.find(uid, role)) !== null;
    } catch (error) {
      if (error instanceof BackplaneUnavailable) return links.here(uid, role) !== null;
      throw error;
    }
  }
}
