import * as v from "valibot";
import type { Commander } from "../commands/commander.ts";
import type { Counters } from "../counters.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { NewEvent, NewRecord, Report } from "../ingest/report.ts";
import { partOf, type RecordLimits } from "../ingress/limits.ts";
import { degrees, delay, type Exd } from "../record.ts";
import type { Unit } from "../units/directory.ts";
import { Rec, type TrackerFrame } from "./messages.ts";

/** A record that was refused: its place in the frame and why. */
export interface Rejected {
  readonly i: number;
  readonly code: string;
}

/** What a tracker sends up its link (F-12.34 to F-12.37). */
export class TrackerFrames {
  readonly #parts: {
    readonly ingest: Ingest;
    readonly commander: Commander;
    readonly limits: RecordLimits;
    readonly counters: Counters;
  };

  constructor(parts: { ingest: Ingest; commander: Commander; limits: RecordLimits; counters: Counters }) {
    this.#parts = parts;
  }

  /**
   * Carries a frame out; resolves, when it is committed, to what of it was refused. Frames of one link are stored in the
   * order of these calls.
   */
  async take(unit: Unit, frame: Exclude<TrackerFrame, { t: "ping" }>, rmx: number): Promise<readonly Rejected[]> {
    if (frame.t === "cmd-result") {
      const { t: _t, seq: _seq, ...answer } = frame;
      await this.#parts.commander.answered(unit.uid, answer);
      return [];
    }
    const rejected: Rejected[] = [];
    const given = frame.t === "records" ? frame.records : [frame.rec];
    const records = given.flatMap((value, i) => {
      const record = this.#record(value, rmx);
      if (typeof record !== "string") return [record];
      rejected.push({ i, code: record });
      this.#parts.counters.refusedRecord("device");
      return [];
    });
    if (records.length > 0) {
      const report: Report = {
        uid: unit.uid,
        vid: unit.vid,
        rmx,
        http: false,
        records,
        events: eventsOf(frame, records[0]!),
      };
      await this.#parts.ingest.submit(report);
    }
    return rejected;
  }

  /** A record, or why it is none. */
  #record(value: unknown, rmx: number): NewRecord | string {
    const parsed = v.safeParse(Rec, value);
    if (!parsed.success) return "bad-record";
    const { tmx, loc, gsp = 0, hdg = 0, gkm = -1, cas = null, exd = {}, index } = parsed.output;
    const fault = this.#parts.limits.fault({ tmx, loc, gsp }, rmx);
    if (fault) return fault;
    return {
      tmx,
      part: partOf(tmx, { index }),
      dmx: delay(tmx, rmx),
      loc: { lon: loc.lon, lat: loc.lat },
      gsp: Math.round(gsp),
      hdg: degrees(hdg),
      gkm: Math.floor(gkm),
      cas,
      exd: exd as Exd,
      place: null,
    };
  }
}

function eventsOf(frame: Exclude<TrackerFrame, { t: "ping" | "cmd-result" }>, { tmx }: NewRecord): NewEvent[] {
  if (frame.t === "io") return [{ kind: "io", tmx, sts: 1, io: { tio: frame.tio, tlv: frame.tlv }, subtype: "io" }];
  if (frame.t === "event") return [{ kind: frame.kind, tmx, sts: frame.sts ?? 1, subtype: "event" }];
  return [];
}
