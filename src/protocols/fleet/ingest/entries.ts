import { recordsFrame } from "../frames.ts";

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

/** A row of `driver_items`. */
export interface ItemRow {
  readonly uid: number;
  readonly guid: string;
  readonly rmx: number;
}

/** What a report amounts to. */
export interface Entries {
  readonly records: readonly RecordRow[];
  readonly events: readonly EventRow[];
  readonly item: ItemRow | null;
  readonly doubles: number;
  /** The newest of the new records as JSON, for the `records` frame. */
  readonly newest: string | null;
  /** A mission's frame. */
  readonly frame: string | null;
}

/** What a report amounts to that tells nothing new. */
export const nothing: Entries = { records: [], events: [], item: null, doubles: 0, newest: null, frame: null };

/** All that leaves for a report once it is committed, in order (F-5.2). `isNew` tells of an event by its id. */
export function framesOf(uid: number, entries: Entries, isNew: (id: string) => boolean): string[] {
  const frames: string[] = [];
  if (entries.newest !== null) frames.push(recordsFrame(uid, entries.records.length, entries.newest));
  for (const { id, frame } of entries.events) if (frame !== null && isNew(id)) frames.push(frame);
  if (entries.frame !== null) frames.push(entries.frame);
  return frames;
}
