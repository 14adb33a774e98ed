import { type SQL, sql } from "drizzle-orm";
import type { Database } from "../../../database/database.ts";
import type { Span } from "./requests.ts";

/** Rows of one statement: what a quick one reads, and what an answer keeps in memory at a time. */
const PAGE = 2_000;

/** A row of history: its JSON, and where it stands. */
interface Row {
  readonly json: string;
  /** Epoch milliseconds, as text. */
  readonly at: string;
  readonly uid: string;
  readonly part: string;
}

/** Where to go on after a row. */
type Cursor = Pick<Row, "at" | "uid" | "part"> | null;

/** One page of rows after a cursor, oldest first. */
export type Pages = (after: Cursor, limit: number) => Promise<readonly Row[]>;

/** The records of a unit, missions left out (F-3.14, F-3.21). */
export function recordPages(database: Database, uid: number, span: Span): Pages {
  return (after, limit) => {
    const start = after ? sql`(tmx, part) > (${instant(after.at)}, ${after.part})` : sql`true`;
    return database.orm.execute<Row & Record<string, unknown>>(sql`
      select '{"_id":"' || id || '",' || substr(body::text, 2) as json, ${millis} as at, uid::text as uid, part
      from fleet.records
      where uid = ${uid} and ${within(span, after)} and not mission and ${start}
      order by tmx, part limit ${limit}`);
  };
}

/** The events of units, all or those with certain ids (F-3.15). */
export function eventPages(
  database: Database,
  uids: readonly number[],
  eids: readonly number[] | undefined,
  span: Span,
): Pages {
  const list = (numbers: readonly number[]) =>
    sql.join(
      numbers.map((number) => sql`${number}`),
      sql`, `,
    );
  const kinds = eids === undefined ? sql`true` : eids.length === 0 ? sql`false` : sql`eid in (${list(eids)})`;
  return (after, limit) => {
    const start = after
      ? sql`(tmx, uid, part) > (${instant(after.at)}, ${after.uid}::bigint, ${after.part})`
      : sql`true`;
    return database.orm.execute<Row & Record<string, unknown>>(sql`
      select body::text as json, ${millis} as at, uid::text as uid, part
      from fleet.events
      where uid in (${list(uids)}) and ${within(span, after)} and ${kinds} and ${start}
      order by tmx, uid, part limit ${limit}`);
  };
}

const millis = sql`(extract(epoch from tmx) * 1000)::bigint::text`;
const instant = (at: string | number): SQL => sql`to_timestamp(${String(at)}::numeric / 1000)::timestamptz(3)`;

/** The span from the cursor on: said in full, so that partitions before it are not looked at. */
const within = ({ from, to }: Span, after: Cursor): SQL =>
  sql`tmx between ${instant(after ? after.at : from)} and ${instant(to)}`;

/**
 * An answer with up to `maxRows` rows, read and sent page by page (F-3.1, F-3.4). The first page is read before anything
 * is answered, so that an outage gets its own answer; one that comes later breaks the answer off.
 */
export async function historyAnswer(pages: Pages, maxRows: number): Promise<Response> {
  const first = await pages(null, Math.min(PAGE, maxRows + 1));
  const rows = chunks(first, pages, maxRows);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await rows.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

async function* chunks(first: readonly Row[], pages: Pages, maxRows: number): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let left = maxRows;
  let separator = '{"error":false,"code":0,"message":"","data":[';
  let page = first;
  let size = Math.min(PAGE, maxRows + 1);
  for (;;) {
    const shown = page.slice(0, left);
    if (shown.length > 0) yield encoder.encode(separator + shown.map(({ json }) => json).join(","));
    if (shown.length > 0) separator = ",";
    left -= shown.length;
    const more = page[shown.length];
    if (more) {
      const next = new Date(Number(more.at)).toISOString();
      yield encoder.encode(`${separator === "," ? "" : separator}],"truncated":true,"next":"${next}"}`);
      return;
    }
    if (page.length < size) break;
    size = Math.min(PAGE, left + 1);
    page = await pages(page.at(-1) ?? null, size);
  }
  yield encoder.encode(`${separator === "," ? "" : separator}]}`);
}
