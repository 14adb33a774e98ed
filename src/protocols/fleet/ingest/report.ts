import type { Exd, Loc } from "../record.ts";

/** A record as a door hands it in. Times are epoch milliseconds. */
export interface NewRecord {
  readonly tmx: number;
  /** Tells records of one instant apart (F-6.4). */
  readonly part: string;
  readonly dmx: number;
  readonly loc: Loc;
  readonly gsp: number;
  readonly hdg: number;
  readonly gkm: number;
  /** Null leaves it to the gateway (F-12.3). */
  readonly cas: number | null;
  readonly exd: Exd;
  /** `frc` of the events made from it. */
  readonly place: string | null;
}

/** An event that the device itself reports; those that follow from records are found on the way to the store. */
export interface NewEvent {
  /** Names the eid. */
  readonly kind: string;
  readonly tmx: number;
  readonly sts: 0 | 1;
  /** Set for an I/O event: number and level. */
  readonly io?: { readonly tio: number; readonly tlv: number };
  /** As what it is sent to sockets; null keeps it for the REST. */
  readonly subtype: "io" | "event" | null;
}

/** What a driver's app says: an event without a record (F-5.11). */
export interface DriverItem {
  readonly kind: "msg" | "msg-prd" | "form";
  readonly guid: string;
  readonly tmx: number;
  readonly loc: Loc | null;
  /** txt, pmi and frm of the event. */
  readonly more: Readonly<Record<string, unknown>>;
}

/** A delivery or the like that a driver's app reports: a record of cause 600 (F-5.12). */
export interface Mission {
  readonly guid: string | null;
  readonly tmx: number;
  readonly loc: Loc | null;
  readonly id: string;
  readonly delivered: boolean;
  readonly msg: string;
}

/** What a mission record is told apart by (F-6.4). */
export const missionPart = ({ id, guid }: Mission): string =>
  guid === null ? `service ${id}` : `service ${id} ${guid}`;

/** One report of one unit, stored as a whole and told to watchers in one go. */
export interface Report {
  readonly uid: number;
  readonly vid: number;
  /** Time of reception. */
  readonly rmx: number;
  /** Came by HTTP, so it may be joined with others (FLEET_COALESCE_MS). */
  readonly http: boolean;
  readonly records?: readonly NewRecord[];
  /** They belong to the last of the records, or without any to the newest one known. */
  readonly events?: readonly NewEvent[];
  readonly item?: DriverItem;
  readonly mission?: Mission;
  /** Levels by I/O number that the unit gave when it was asked for them (F-12.44). */
  readonly levels?: { readonly tmx: number; readonly io: Readonly<Record<string, number>> };
}

/** What became of a report. */
export interface Outcome {
  /** False when the unit was removed meanwhile. */
  readonly known: boolean;
  /** Records that were not there before. */
  readonly stored: number;
  readonly doubles: number;
}

/** What the store holds against: weight of a report in rows. */
export const weight = ({ records = [], events = [] }: Report): number => Math.max(1, records.length + events.length);
