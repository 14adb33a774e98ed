import { driverFrame, eventFrame, recordsFrame } from "../frames.ts";
import { objectId } from "../object-id.ts";
import { CAUSE, delay, type FleetRecord, iso, type Loc } from "../record.ts";
import type { EventIds } from "../settings.ts";
import type { DriverItem, Mission, NewEvent, NewRecord, Report } from "./report.ts";
import type { UnitState } from "./unit-state.ts";

/** A row of `records`; `body` is JSON. */
export interface RecordRow {
  readonly uid: number;
  readonly tmx: number;
  readonly part: string;
  readonly id: string;
  readonly rmx: number;
  readonly mission: boolean;
  readonly body: string;
}

/** A row of `events` and the frame that leaves if it is new. */
export interface EventRow {
  readonly uid: number;
  readonly tmx: number;
  readonly part: string;
  readonly id: string;
  readonly rmx: number;
  readonly eid: number;
  readonly body: string;
  readonly frame: string | null;
}

/** What a report amounts to. */
export interface Entries {
  readonly records: readonly RecordRow[];
  readonly events: readonly EventRow[];
  readonly doubles: number;
  /** The newest of the new records as JSON, for the `records` frame. */
  readonly newest: string | null;
  /** A mission's frame. */
  readonly frame: string | null;
}

/** What reports are read by. */
export interface Rules {
  readonly eventIds: EventIds;
  readonly source: string;
}

/** Names a record among all (F-6.4). */
export const recordKey = (uid: number, tmx: number, part: string): string => `${uid} ${tmx} ${part}`;

/** A record with its id. */
interface Stored {
  readonly id: string;
  readonly record: FleetRecord;
}

/**
 * Reads the reports of one unit in order: which records are new, what changed between them (F-12.2), and the unit's
 * state after them. `doubles` holds the ids of records that were stored before, by {@link recordKey}.
 */
export class Reading {
  readonly #state: UnitState;
  readonly #doubles: Map<string, string>;
  readonly #rules: Rules;

  constructor(state: UnitState, doubles: Map<string, string>, rules: Rules) {
    this.#state = state;
    this.#doubles = doubles;
    this.#rules = rules;
  }

  /** A report of records and events. */
  report(report: Report): Entries {
    const { records = [], events = [] } = report;
    const rows: RecordRow[] = [];
    const made: EventRow[] = [];
    let doubles = 0;
    let newest: { tmx: number; body: string } | null = null;
    let last: (Stored & { place: string | null }) | null = null;
    for (const [index, given] of records.entries()) {
      const hasIo = index === records.length - 1 && events.some((event) => event.io);
      const { stored, row, changes } = this.#record(report, given, hasIo);
      last = { ...stored, place: given.place };
      if (row) {
        rows.push(row);
        if (newest === null || row.tmx >= newest.tmx) newest = { tmx: row.tmx, body: row.body };
      } else doubles++;
      for (const change of changes) made.push(this.#event(report, change, stored, given.place));
    }
    if (events.length > 0) {
      const subject = last ?? this.#newest();
      for (const event of events) {
        made.push(this.#event(report, event, subject, last?.place ?? null));
        this.#learn(event, subject?.id ?? null);
      }
    }
    return { records: rows, events: made, doubles, newest: newest?.body ?? null, frame: null };
  }

  /** Something a driver's app says; its guid is known to be new. */
  item({ uid, rmx }: Report, { kind, guid, tmx, loc, more }: DriverItem): Entries {
    const type = kind === "form" ? "form" : kind === "msg" ? "pnd-msg" : "pnd-msg-prd";
    const place = loc ?? this.#place();
    const eid = this.#rules.eventIds[kind];
    const event = { hid: null, ...this.#body(uid, eid, tmx, rmx, place, 1, null), ...more };
    const { id, body } = restBody(event, { record: null, rmx });
    const row = { uid, tmx, part: `${kind} ${guid}`, id, rmx, eid, body, frame: driverFrame(uid, type, event) };
    return { records: [], events: [row], doubles: 0, newest: null, frame: null };
  }

  /** A mission record of a driver's app. It changes nothing of what is known of the vehicle. */
  mission({ uid, vid, rmx }: Report, mission: Mission): Entries {
    const { tmx, id, delivered, msg } = mission;
    const part = mission.guid === null ? `service ${id}` : `service ${id} ${mission.guid}`;
    const key = recordKey(uid, tmx, part);
    if (this.#doubles.has(key)) return { ...nothing, doubles: 1 };
    const evt = { id, delivered, tmx: iso(tmx), msg };
    const record = {
      ...{ tmx: iso(tmx), vid, dmx: delay(tmx, rmx), loc: mission.loc ?? this.#place() },
      ...{ gsp: 0, hdg: 0, gkm: -1, cas: CAUSE.driver, exd: { type: "service-generic", evt } },
    };
    const rowId = objectId(rmx);
    this.#doubles.set(key, rowId);
    const row = { uid, tmx, part, id: rowId, rmx, mission: true, body: JSON.stringify(record) };
    return {
      ...{ records: [row], events: [], doubles: 0, newest: null },
      frame: driverFrame(uid, "service-generic", { ...record, _id: rowId }),
    };
  }

  #record({ uid, vid, rmx }: Report, given: NewRecord, hasIo: boolean) {
    const { tmx, part, dmx, loc, gsp, hdg, gkm, exd } = given;
    const state = this.#state;
    const key = recordKey(uid, tmx, part);
    const known = this.#doubles.get(key);
    const isNewest = known === undefined && (state.tmx === null || tmx >= state.tmx);
    const changes = isNewest ? this.#changes(tmx, exd) : [];
    const cas = hasIo || changes.some((change) => change.io) ? CAUSE.io : (given.cas ?? CAUSE.periodic);
    const record: FleetRecord = { tmx: iso(tmx), vid, dmx, loc, gsp, hdg, gkm, cas, exd };
    const id = known ?? objectId(rmx);
    const stored: Stored = { id, record };
    if (known !== undefined) return { stored, row: null, changes };
    const body = JSON.stringify(record);
    this.#doubles.set(key, id);
    if (isNewest) this.#advance(tmx, id, record, body);
    return { stored, row: { uid, tmx, part, id, rmx, mission: false, body }, changes };
  }

  /** What differs from what is known: levels, and the supply (F-12.2). */
  #changes(tmx: number, { io = {}, bpp }: FleetRecord["exd"]): NewEvent[] {
    const { io: known, bpp: supply } = this.#state;
    const changes: NewEvent[] = [];
    for (const [number, tlv] of Object.entries(io)) {
      const before = known[number];
      if (before === undefined || before[0] === tlv) continue;
      changes.push({ kind: "io", tmx, sts: 1, io: { tio: Number(number), tlv }, subtype: "io" });
    }
    if (bpp !== undefined && supply !== null && bpp !== supply) {
      changes.push({ kind: bpp === 1 ? "battery" : "power", tmx, sts: 1, subtype: "event" });
    }
    return changes;
  }

  #advance(tmx: number, id: string, record: FleetRecord, body: string): void {
    const state = this.#state;
    const { io = {}, eco, bpp } = record.exd;
    Object.assign(state, { tmx, recordId: id, record: body, changed: true });
    for (const [number, level] of Object.entries(io)) state.io[number] = [level, id, record.tmx];
    if (eco) state.eco = JSON.stringify({ tmx: record.tmx, ...eco });
    if (bpp !== undefined) state.bpp = bpp;
  }

  /** An I/O event that the device reports by itself is known from then on, unless something newer is. */
  #learn({ io, tmx }: NewEvent, hid: string | null): void {
    const state = this.#state;
    if (!io || (state.tmx !== null && tmx < state.tmx)) return;
    state.io[io.tio] = [io.tlv, hid, iso(tmx)];
    state.changed = true;
  }

  #event({ uid, rmx }: Report, given: NewEvent, subject: Stored | null, place: string | null): EventRow {
    const { kind, tmx, sts, io, subtype } = given;
    const eid = this.#rules.eventIds[kind] ?? 0;
    const event = {
      hid: subject?.id ?? null,
      ...this.#body(uid, eid, tmx, rmx, subject?.record.loc ?? null, sts, place),
    };
    const { id, body } = restBody(event, { record: subject?.record ?? null, rmx });
    const part = io ? `${kind} ${io.tio} ${io.tlv}` : kind;
    const row = { uid, tmx, part, id, rmx, eid, body };
    if (subtype === null || subject === null) return { ...row, frame: null };
    const { exd, ...rest } = subject.record;
    const record = { _id: subject.id, ...rest, exd: io ? { ...exd, tlm: io } : exd };
    return { ...row, frame: eventFrame(uid, subtype, record, { _id: id, ...event }) };
  }

  /** EVENT of F-5.4 but for `_id` and `hid`. */
  #body(uid: number, eid: number, tmx: number, rmx: number, loc: Loc | null, sts: 0 | 1, frc: string | null) {
    const [lat, lng] = [loc?.lat ?? null, loc?.lon ?? null];
    return { mid: uid, eid, tmx: iso(tmx), rmx: iso(rmx), lat, lng, sts, frc, src: this.#rules.source };
  }

  #newest(): Stored | null {
    const { recordId, record } = this.#state;
    return recordId !== null && record !== null ? { id: recordId, record: JSON.parse(record) as FleetRecord } : null;
  }

  #place(): Loc | null {
    return this.#newest()?.record.loc ?? null;
  }
}

export const nothing: Entries = { records: [], events: [], doubles: 0, newest: null, frame: null };

/** All that leaves for a report once it is committed, in order (F-5.2). `isNew` tells of an event by its id. */
export function framesOf(uid: number, entries: Entries, isNew: (id: string) => boolean): string[] {
  const frames: string[] = [];
  if (entries.newest !== null) frames.push(recordsFrame(uid, entries.records.length, entries.newest));
  for (const { id, frame } of entries.events) if (frame !== null && isNew(id)) frames.push(frame);
  if (entries.frame !== null) frames.push(entries.frame);
  return frames;
}

/** The event as the REST gives it (F-3.15), with a new id. */
function restBody(
  event: {
    readonly mid: number;
    readonly eid: number;
    readonly tmx: string;
    readonly sts: number;
    readonly src: string;
  },
  { record, rmx }: { record: FleetRecord | null; rmx: number },
): { id: string; body: string } {
  const { mid, eid, tmx, sts, src, ...more } = event;
  const id = objectId(rmx);
  const odometer = record && record.gkm >= 0 ? record.gkm : null;
  const row = {
    ...{ vehicleId: mid, eventId: eid, timestamp: tmx, eventStatus: sts, eventSource: src },
    ...{ gpsSpeed: record?.gsp ?? 0, canbusKm: record?.exd.eco?.ckm ?? odometer, _id: id, ...more },
  };
  return { id, body: JSON.stringify(row) };
}
