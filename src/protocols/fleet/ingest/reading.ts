import { driverFrame, eventFrame } from "../frames.ts";
import { objectId } from "../object-id.ts";
import { CAUSE, delay, type Exd, type FleetRecord, iso, type LevelList, type Loc, recordJson } from "../record.ts";
import type { EventIds } from "../settings.ts";
import { type Entries, type EventRow, nothing, type RecordRow } from "./entries.ts";
import { type DriverItem, type Mission, missionPart, type NewEvent, type NewRecord, type Report } from "./report.ts";
import type { UnitState } from "./unit-state.ts";

/** What reports are read by. */
export interface Rules {
  readonly eventIds: EventIds;
  readonly source: string;
}

/** Names a record among all (F-6.4). */
export const recordKey = (uid: number, tmx: number, part: string): string => `${uid} ${tmx} ${part}`;

/** Names a driver's item among all (F-6.4). */
export const itemKey = (uid: number, guid: string): string => `${uid} ${guid}`;

/** What is there already. */
export interface Present {
  /** Ids of records by {@link recordKey}. */
  readonly records: Map<string, string>;
  /** Driver items by {@link itemKey}. */
  readonly items: Set<string>;
}

/** A record with its id. */
interface Stored {
  readonly id: string;
  readonly record: FleetRecord;
}

/**
 * Reads the reports of one unit in order: which records are new, what changed between them (F-12.2), and the unit's
 * state after them. What it finds to be new it adds to what is present.
 */
export class Reading {
  /** The unit's state after what has been read. */
  readonly state: UnitState;
  /** Whether anything has to be stored. */
  changed = false;
  readonly #present: Present;
  readonly #rules: Rules;

  constructor(before: UnitState, present: Present, rules: Rules) {
    this.state = { ...before, io: { ...before.io } };
    this.#present = present;
    this.#rules = rules;
  }

  read(report: Report): Entries {
    if (report.mission) return this.#mission(report, report.mission);
    if (report.item) return this.#item(report, report.item);
    return this.#report(report);
  }

  #report(report: Report): Entries {
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
    if (report.levels) this.#answered(report.levels);
    if (rows.length > 0 || made.length > 0) this.changed = true;
    return { ...nothing, records: rows, events: made, doubles, newest: newest?.body ?? null };
  }

  /** Something a driver's app says. */
  #item({ uid, rmx }: Report, { kind, guid, tmx, loc, more }: DriverItem): Entries {
    const key = itemKey(uid, guid);
    if (this.#present.items.has(key)) return { ...nothing, doubles: 1 };
    this.#present.items.add(key);
    this.changed = true;
    const type = kind === "form" ? "form" : kind === "msg" ? "pnd-msg" : "pnd-msg-prd";
    const place = loc ?? this.#place();
    const eid = this.#rules.eventIds[kind];
    const event = { hid: null, ...this.#body(uid, eid, tmx, rmx, place, 1, null), ...more };
    const { id, body } = restBody(event, { record: null, rmx });
    const row = { uid, tmx, part: `${kind} ${guid}`, id, rmx, eid, body, frame: driverFrame(uid, type, event) };
    return { ...nothing, events: [row], item: { uid, guid, rmx } };
  }

  /** A mission record of a driver's app. It changes nothing of what is known of the vehicle. */
  #mission({ uid, vid, rmx }: Report, mission: Mission): Entries {
    const { tmx, id, delivered, msg } = mission;
    const part = missionPart(mission);
    const key = recordKey(uid, tmx, part);
    if (this.#present.records.has(key)) return { ...nothing, doubles: 1 };
    const evt = { id, delivered, tmx: iso(tmx), msg };
    const record = {
      ...{ tmx: iso(tmx), vid, dmx: delay(tmx, rmx), loc: mission.loc ?? this.#place() },
      ...{ gsp: 0, hdg: 0, gkm: -1, cas: CAUSE.driver, exd: { type: "service-generic", evt } },
    };
    const rowId = objectId(rmx);
    this.#present.records.set(key, rowId);
    this.changed = true;
    const row = { uid, tmx, part, id: rowId, rmx, mission: true, body: JSON.stringify(record) };
    return { ...nothing, records: [row], frame: driverFrame(uid, "service-generic", { ...record, _id: rowId }) };
  }

  #record({ uid, vid, rmx }: Report, given: NewRecord, hasIo: boolean) {
    const { tmx, part, dmx, loc, gsp, hdg, gkm, exd } = given;
    const { state } = this;
    const key = recordKey(uid, tmx, part);
    const known = this.#present.records.get(key);
    const isNewest = known === undefined && (state.tmx === null || tmx >= state.tmx);
    const levels: LevelList = Object.entries(exd.io ?? {});
    const changes = isNewest ? this.#changes(tmx, exd, levels) : [];
    const cas = hasIo || changes.some((change) => change.io) ? CAUSE.io : (given.cas ?? CAUSE.periodic);
    const record: FleetRecord = { tmx: iso(tmx), vid, dmx, loc, gsp, hdg, gkm, cas, exd };
    const id = known ?? objectId(rmx);
    const stored: Stored = { id, record };
    if (known !== undefined) return { stored, row: null, changes };
    const body = recordJson(record, levels);
    this.#present.records.set(key, id);
    if (isNewest) this.#advance(tmx, id, record, body, levels);
    return { stored, row: { uid, tmx, part, id, rmx, mission: false, body }, changes };
  }

  /** What differs from what is known: levels, and the supply (F-12.2). */
  #changes(tmx: number, { bpp }: Exd, levels: LevelList): NewEvent[] {
    const { io: known, bpp: supply } = this.state;
    const changes: NewEvent[] = [];
    for (const [number, tlv] of levels) {
      const before = known[number];
      if (before === undefined || before[0] === tlv) continue;
      changes.push({ kind: "io", tmx, sts: 1, io: { tio: Number(number), tlv }, subtype: "io" });
    }
    if (bpp !== undefined && supply !== null && bpp !== supply) {
      changes.push({ kind: bpp === 1 ? "battery" : "power", tmx, sts: 1, subtype: "event" });
    }
    return changes;
  }

  #advance(tmx: number, id: string, record: FleetRecord, body: string, levels: LevelList): void {
    const state = this.state;
    const { eco, bpp } = record.exd;
    state.tmx = tmx;
    state.recordId = id;
    state.record = body;
    for (const [number, level] of levels) state.io[number] = [level, id, record.tmx];
    if (eco) state.eco = { tmx: record.tmx, ...eco };
    if (bpp !== undefined) state.bpp = bpp;
  }

  /** An I/O event that the device reports by itself is known from then on, unless something newer is. */
  #learn({ io, tmx }: NewEvent, hid: string | null): void {
    const state = this.state;
    if (!io || (state.tmx !== null && tmx < state.tmx)) return;
    state.io[io.tio] = [io.tlv, hid, iso(tmx)];
  }

  /** Levels that were asked for are known from then on, and make no event (F-12.44). */
  #answered({ tmx, io }: NonNullable<Report["levels"]>): void {
    for (const [number, level] of Object.entries(io)) this.state.io[number] = [level, null, iso(tmx)];
    this.changed = true;
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
    const { recordId, record } = this.state;
    return recordId !== null && record !== null ? { id: recordId, record: JSON.parse(record) as FleetRecord } : null;
  }

  #place(): Loc | null {
    return this.#newest()?.record.loc ?? null;
  }
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
