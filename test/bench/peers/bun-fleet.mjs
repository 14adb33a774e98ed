/**
 * The floor of a fleet: `Bun.serve` that parses the records of trackers, has Postgres take them by COPY, one batch behind
 * the other, acknowledges a frame when its batch is committed, and publishes its last record. It checks nothing, knows
 * nothing of units between frames, finds no events, makes no duplicates out and lets anybody see what he asks for.
 */
import postgres from "postgres";
import { listening } from "./control.mjs";

const sql = postgres(process.env.DATABASE_URL, { max: 1, onnotice: () => {} });
const COLUMNS = "uid, tmx, part, id, rmx, mission, body";

/** Frames that wait for their commit. */
let waiting = [];
let copying = false;
let made = 0;

async function store() {
  copying = true;
  while (waiting.length > 0) {
    const batch = waiting;
    waiting = [];
    const into = await sql`copy fleet.records (${sql.unsafe(COLUMNS)}) from stdin`.writable();
    const done = new Promise((resolve, reject) => into.once("finish", resolve).once("error", reject));
    into.end(batch.map(({ lines }) => lines).join(""));
    await done;
    for (const { ws, seq, frame } of batch) {
      ws.send(`{"t":"ack","seq":${seq}}`);
      server.publish(`unit/${ws.data.uid}`, frame);
    }
  }
  copying = false;
}

function records(ws, { seq, records }) {
  const { uid } = ws.data;
  const now = new Date().toISOString();
  let lines = "";
  let body = "";
  for (const { index, tmx, ...rest } of records) {
    body = JSON.stringify({ tmx, vid: uid, dmx: 0, cas: 3, ...rest });
    const id = (made++).toString(16).padStart(24, "0");
    lines += `${uid}\t${tmx}\t#${index}\t${id}\t${now}\tf\t${body.replaceAll("\\", "\\\\")}\n`;
  }
  const frame = `{"uid":${uid},"params":{"type":"records","total":${records.length},"lastRecord":${body}}}`;
  waiting.push({ ws, seq, lines, frame });
  if (!copying) void store();
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) =>
    server.upgrade(request, { data: { uid: 0 } }) ? undefined : new Response(null, { status: 400 }),
  websocket: {
    message(ws, text) {
      const frame = JSON.parse(text);
      if (frame.t === "records") records(ws, frame);
      else if (frame.t === "hello") {
        // Units are called by their number here, and who watches says which ones.
        ws.data.uid = Number(frame.unit.slice("load-".length));
        ws.send('{"t":"welcome"}');
      } else {
        for (const uid of frame.query.SESSID.split(",")) ws.subscribe(`unit/${uid}`);
        ws.send('{"params":{"type":"auth","success":true}}');
      }
    },
  },
});
listening(server.port);
