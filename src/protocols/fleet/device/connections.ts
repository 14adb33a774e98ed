import { eq, or, sql } from "drizzle-orm";
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

/** How long a link that has gone may be gone before watchers hear of it. Milliseconds. */
export interface ConnectionTimes {
  /** After it was closed (FLEET_LINK_GRACE_S). */
  readonly grace: number;
  /** After its node was lost to the others. */
  readonly lost: number;
}

/**
 * Links that have gone, by {@link nameOf}, and until when they may be back, as `clock.elapsed()` counts. Plain data: it
 * outlives a reload.
 */
export type Gone = Map<string, number>;

/**
 * Whether units are connected (F-5.10, F-6.9, F-6.10). What watchers were told last stands in the unit's row, and only
 * who changes it there tells the next, so every change is told once over all nodes.
 */
export class Connections {
  readonly #parts: ConnectionParts;
  readonly #times: ConnectionTimes;
  readonly #gone: Gone;
  /** What ends the wait for each of them. */
  readonly #waits = new Map<string, Cancel>();
  /** Told links that were not there, and since when: some other node may be waiting for them. */
  #missing = new Map<string, number>();
  readonly #pending = new Set<Promise<void>>();
  readonly #stop: () => void;

  constructor(parts: ConnectionParts, times: ConnectionTimes, gone: Gone) {
    this.#parts = parts;
    this.#times = times;
    this.#gone = gone;
    for (const name of gone.keys()) this.#wait(name);
    this.#stop = parts.links.onChange({
      lost: (uid, role) => this.#await(uid, role, times.lost),
      restored: (uid, role) => this.#later(uid, role),
      // The grace begins anew on whichever node waits: of two that end at once, neither may leave the wait to the other.
      departed: (uid, role) => {
        const name = nameOf(uid, role);
        if (this.#gone.has(name)) this.#await(uid, role, times.grace);
        this.#missing.delete(name);
      },
    });
  }

  /** A link has come: watchers hear of it before anything of its data (F-5.10). */
  async came(uid: number, role: Role): Promise<void> {
    this.#forget(nameOf(uid, role));
    await this.#refresh(uid, role);
  }

  /** A link has gone; watchers hear of it after the grace, unless it is back by then. */
  left(uid: number, role: Role): void {
    this.#await(uid, role, this.#times.grace);
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
    const linked = new Set((await links.all()).map(([uid, role]) => nameOf(uid, role)));
    const told = new Set<string>();
    const missing: string[] = [];
    for (const { uid, connected, pnd, traccar } of rows) {
      const names = [...(connected ? [nameOf(uid, "tracker")] : []), ...(pnd ? [nameOf(uid, "pnd")] : [])];
      for (const name of names) told.add(name);
      if (traccar) linked.add(nameOf(uid, "tracker"));
      missing.push(...names.filter((name) => !linked.has(name)));
    }
    for (const [uid, role] of this.#longMissing(missing)) await this.#refresh(uid, role);
    for (const uid of links.uidsHere()) {
      for (const role of ["tracker", "pnd"] as const) {
        if (links.here(uid, role) && !told.has(nameOf(uid, role))) await this.#refresh(uid, role);
      }
    }
  }

  /** Waits until all that is due is told. What has time left is left to the code, or the node, that comes next. */
  async close(): Promise<void> {
    this.#stop();
    for (const cancel of this.#waits.values()) cancel();
    await Promise.all(this.#pending);
  }

  /** Those that have been missing for longer than any node waits for them. */
  #longMissing(names: readonly string[]): (readonly [uid: number, role: Role])[] {
    const now = this.#parts.clock.elapsed();
    this.#missing = new Map(names.map((name) => [name, this.#missing.get(name) ?? now]));
    const patience = Math.max(this.#times.grace, this.#times.lost);
    return names.filter((name) => now - this.#missing.get(name)! >= patience).map(linkNamed);
  }

  #await(uid: number, role: Role, time: number): void {
    const name = nameOf(uid, role);
    this.#forget(name);
    if (time === 0) {
      this.#later(uid, role);
      return;
    }
    this.#gone.set(name, this.#parts.clock.elapsed() + time);
    this.#wait(name);
  }

  #wait(name: string): void {
    const { clock } = this.#parts;
    const left = (this.#gone.get(name) ?? 0) - clock.elapsed();
    const cancel = clock.after(Math.max(0, left), () => {
      this.#forget(name);
      this.#later(...linkNamed(name));
    });
    this.#waits.set(name, cancel);
  }

  #forget(name: string): void {
    this.#waits.get(name)?.();
    this.#waits.delete(name);
    this.#gone.delete(name);
    this.#missing.delete(name);
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
    const change = await database.orm.transaction(async (tx) => {
      const own = eq(unitState.uid, uid);
      const [state] = await tx
        .select({ connected: unitState.connected, pnd: unitState.pndConnected, traccar: unitState.traccarOnline })
        .from(unitState)
        .where(own)
        .for("update");
      if (!state) return null;
      const online = traccarOnline ?? state.traccar;
      const before = role === "tracker" ? state.connected : state.pnd;
      // A link that may still be back counts as one.
      const isHeld = before && this.#gone.has(nameOf(uid, role));
      const now = isHeld || (role === "tracker" && online) || (await this.#isLinked(uid, role));
      if (now === before) {
        if (online !== state.traccar) await tx.update(unitState).set({ traccarOnline: online }).where(own);
        return null;
      }
      const flag = role === "tracker" ? { connected: now } : { pndConnected: now };
      const [told] = await tx
        .update(unitState)
        .set({ ...flag, traccarOnline: online, version: sql`${unitState.version} + 1` })
        .where(own)
        .returning({ version: unitState.version });
      return told ? { now, version: told.version } : null;
    });
    if (!change) return;
    const { now, version } = change;
    const frame = connectionFrame(uid, role === "tracker" ? "connection" : "pnd-connection", now ? 1 : 0);
    fanout.toUnit(uid, { from: version, to: version, frames: [frame] });
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

const nameOf = (uid: number, role: Role) => `${role} ${uid}`;

function linkNamed(name: string): readonly [uid: number, role: Role] {
  const [role, uid] = name.split(" ");
  return [Number(uid), role as Role];
}
