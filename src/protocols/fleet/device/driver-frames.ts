import type { Mailbox } from "../driver/mailbox.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { DriverItem } from "../ingest/report.ts";
import { positionFault, type RecordLimits } from "../ingress/limits.ts";
import type { Loc } from "../record.ts";
import type { Unit } from "../units/directory.ts";
import type { DriverFrame } from "./messages.ts";
import type { Rejected } from "./tracker-frames.ts";

/** What a driver's app sends up its link (F-12.38 to F-12.40). */
export class DriverFrames {
  readonly #parts: { readonly ingest: Ingest; readonly mailbox: Mailbox; readonly limits: RecordLimits };

  constructor(parts: { ingest: Ingest; mailbox: Mailbox; limits: RecordLimits }) {
    this.#parts = parts;
  }

  /** Carries a frame out; resolves, when it is committed, to what of it was refused. */
  async take(
    { uid, vid }: Unit,
    frame: Exclude<DriverFrame, { t: "ping" }>,
    rmx: number,
  ): Promise<readonly Rejected[]> {
    const { ingest, mailbox, limits } = this.#parts;
    if (frame.t === "msg-ack") {
      await mailbox.reported(uid, frame.id, frame.state);
      return [];
    }
    const tmx = frame.tmx ?? rmx;
    const fault = (frame.loc && positionFault(frame.loc)) ?? limits.timeFault(tmx, rmx);
    if (fault) return [{ i: 0, code: fault }];
    const report = { uid, vid, rmx, http: false };
    const loc: Loc | null = frame.loc ? { lon: frame.loc.lon, lat: frame.loc.lat } : null;
    if (frame.t === "service") {
      const { id, delivered, msg, guid = null } = frame;
      await ingest.submit({ ...report, mission: { guid, tmx, loc, id, delivered, msg } });
    } else {
      await ingest.submit({ ...report, item: { ...itemOf(frame), guid: frame.guid, tmx, loc } });
    }
    return [];
  }
}

function itemOf(frame: Extract<DriverFrame, { t: "msg" | "form" }>): Pick<DriverItem, "kind" | "more"> {
  if (frame.t === "form") return { kind: "form", more: { frm: { fnm: frame.fnm, fld: frame.fld } } };
  const { pmi, txt } = frame;
  return pmi === undefined ? { kind: "msg", more: { txt } } : { kind: "msg-prd", more: { pmi, txt } };
}
