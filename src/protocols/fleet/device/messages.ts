import * as v from "valibot";
import { isEcoValue, type Exd as RecordExd } from "../record.ts";
import { isSoundText } from "../sound.ts";
import { isoTime } from "../times.ts";
import { isPlainExd } from "./plain-exd.ts";

/** Text that can be stored. */
const text = (max: number) => v.pipe(v.string(), v.minLength(1), v.maxLength(max), v.check(isSoundText));
const Seq = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const seq = v.exactOptional(Seq);
const finite = v.pipe(v.number(), v.finite());

/** A moment as ISO text. Its range is a question of each record, not of the frame (F-8.8). */
const Moment = v.pipe(v.string(), v.maxLength(64), v.transform(isoTime), v.number());
const tmx = v.exactOptional(Moment);

/** A position; like a moment's, its range is not the frame's to judge. */
const Loc = v.object({ lat: finite, lon: finite });
const loc = v.exactOptional(Loc);

const Level = v.union([finite, v.pipe(v.boolean(), v.transform(Number))]);
const IoNumber = v.pipe(v.string(), v.regex(/^\d{1,9}$/));
const Io = v.record(IoNumber, Level);

/** exd of a record (F-5.22, F-5.23); keys beyond these are kept when they are simple values. */
export const Exd = v.objectWithRest(
  {
    sat: v.exactOptional(v.pipe(v.number(), v.integer())),
    alt: v.exactOptional(finite),
    bpp: v.exactOptional(v.picklist([0, 1])),
    bat: v.exactOptional(finite),
    vld: v.exactOptional(v.literal(0)),
    eco: v.exactOptional(
      v.pipe(
        v.record(v.pipe(v.string(), v.maxLength(32)), v.union([finite, v.pipe(v.string(), v.maxLength(64))])),
        v.check((eco) => Object.entries(eco).every(([name, value]) => isEcoValue(name, value))),
      ),
    ),
    io: v.exactOptional(Io),
    // Not the device's to say: they tell missions and single changes apart.
    type: v.exactOptional(v.never()),
    tlm: v.exactOptional(v.never()),
  },
  v.union([finite, v.pipe(v.string(), v.maxLength(255), v.check(isSoundText)), v.boolean()]),
);

/** rec of the contract (F-12.34). */
export const Rec = v.object({
  tmx: Moment,
  loc: Loc,
  gsp: v.exactOptional(v.pipe(finite, v.minValue(0))),
  hdg: v.exactOptional(finite),
  gkm: v.exactOptional(finite),
  cas: v.exactOptional(v.pipe(v.number(), v.safeInteger())),
  exd: v.exactOptional(v.union([v.custom<RecordExd>(isPlainExd), Exd])),
  index: v.exactOptional(v.pipe(v.number(), v.safeInteger())),
});
export type Rec = v.InferOutput<typeof Rec>;

/** The first frame (F-12.30). */
export const Hello = v.object({
  t: v.literal("hello"),
  unit: text(128),
  role: v.picklist(["tracker", "pnd"]),
  key: v.optional(v.nullable(v.pipe(v.string(), v.maxLength(256)))),
});

/** What a tracker says (F-12.33 to F-12.37). Its records are looked at one by one. */
export const TrackerFrame = v.variant("t", [
  v.object({ t: v.literal("ping") }),
  v.object({
    t: v.literal("records"),
    seq: Seq,
    records: v.pipe(v.array(v.unknown()), v.minLength(1), v.maxLength(500)),
  }),
  v.object({
    t: v.literal("io"),
    seq,
    rec: v.unknown(),
    tio: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999_999_999)),
    tlv: Level,
  }),
  v.object({
    t: v.literal("event"),
    seq,
    kind: v.picklist(["battery", "power", "motion", "motion-no-driver"]),
    rec: v.unknown(),
    sts: v.exactOptional(v.picklist([0, 1])),
  }),
  v.object({
    t: v.literal("cmd-result"),
    seq,
    id: text(64),
    ok: v.boolean(),
    text: v.exactOptional(v.pipe(v.string(), v.maxLength(4096), v.check(isSoundText))),
    io: v.exactOptional(Io),
  }),
]);
export type TrackerFrame = v.InferOutput<typeof TrackerFrame>;

const guid = text(128);
const Field = v.nullable(v.union([v.pipe(v.string(), v.maxLength(4000), v.check(isSoundText)), finite, v.boolean()]));

/** What a driver's app says (F-12.38 to F-12.40). */
export const DriverFrame = v.variant("t", [
  v.object({ t: v.literal("ping") }),
  v.object({
    t: v.literal("msg"),
    seq,
    guid,
    txt: text(4000),
    pmi: v.exactOptional(v.pipe(v.number(), v.safeInteger())),
    tmx,
    loc,
  }),
  v.object({
    t: v.literal("form"),
    seq,
    guid,
    fnm: text(255),
    fld: v.pipe(
      v.record(text(255), Field),
      v.check((fields) => Object.keys(fields).length <= 100, "at most 100 fields"),
    ),
    tmx,
    loc,
  }),
  v.object({
    t: v.literal("service"),
    seq,
    guid: v.exactOptional(guid),
    id: text(128),
    delivered: v.boolean(),
    msg: v.pipe(v.string(), v.maxLength(4000), v.check(isSoundText)),
    tmx,
    loc,
  }),
  v.object({ t: v.literal("msg-ack"), seq, id: text(64), state: v.picklist(["received", "read", "error"]) }),
]);
export type DriverFrame = v.InferOutput<typeof DriverFrame>;

/** The number by which a faulty frame is named in the answer. */
export const NamedSeq = v.object({ seq: Seq });
