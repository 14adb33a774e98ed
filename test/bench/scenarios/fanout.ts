import { Crowd } from "../client/crowd.ts";
import { textFrame } from "../client/frames.ts";
import { Sender } from "../client/tally.ts";
import { againstFloor, clientShare, number, spread, verdict } from "../columns.ts";
import type { Contender } from "../contender.ts";
import { contest, type Sample } from "../contest.ts";
import { costOf } from "../measure.ts";
import type { Scenario, Table } from "../scenario.ts";

/** Sockets of the room, the sender among them. */
const MEMBERS = 1000;
/** Moves of a burst. */
const BURST = 10;
/** Milliseconds between paced moves. */
const PACE = 20;
/** Seconds of load before the measurement, for the compilers of the runtimes. */
const WARM_UP = 1;

/** A way of sending: what is done in each step, until the time is over. */
interface Mode {
  readonly name: string;
  readonly moves: number;
  /** Shortest time between the beginnings of two steps, in ms. */
  readonly pace: number;
}

const modes: readonly Mode[] = [
  { name: `bursts of ${BURST}`, moves: BURST, pace: 0 },
  { name: `one every ${PACE} ms`, moves: 1, pace: PACE },
];

export const fanout: Scenario = {
  name: "fanout",
  about: `One member of a room sends, ${MEMBERS} sockets receive. The next step waits until the one before has arrived everywhere.`,
  async run({ contenders, rounds, seconds }) {
    const tables: Table[] = [];
    for (const mode of modes) {
      tables.push({
        title: `fanout, ${mode.name}: microseconds of server CPU per delivered message`,
        columns: [
          number("us/msg", "micros", 2),
          spread("min-max", "micros", 2),
          againstFloor("micros"),
          number("msg/s", "rate", 0),
          number("client us/msg", "clientMicros", 2),
          clientShare,
          number("client lag p99 ms", "clientLag"),
          verdict,
        ],
        results: await contest(contenders, rounds, (contender) => play(contender, mode, seconds)),
      });
    }
    return tables;
  },
};

async function play(contender: Contender, mode: Mode, seconds: number): Promise<Sample> {
  const server = await contender.start();
  try {
    const crowd = new Crowd();
    await crowd.open(MEMBERS, [(user) => contender.destination(server, user)]);
    const [room = ""] = await contender.rooms(server, 1);
    await crowd.join([room], MEMBERS);
    const send = sendingInto(crowd, room, contender);
    await repeat(crowd, mode, WARM_UP, send);
    const before = crowd.tally.delivered;
    const { servers, client } = await costOf([server], () => repeat(crowd, mode, seconds, send));
    const delivered = crowd.tally.delivered - before;
    await crowd.close();
    crowd.tally.verify();
    return {
      micros: (servers[0]! / delivered) * 1e6,
      rate: delivered / client.seconds,
      delivered,
      clientMicros: (client.cpu / delivered) * 1e6,
      clientShare: client.share,
      clientLag: client.lag,
    };
  } finally {
    await server.stop();
  }
}

/** Sends so many moves at once, from the first socket. */
function sendingInto(crowd: Crowd, room: string, contender: Contender): (moves: number) => void {
  const sender = new Sender(0, 0, 0);
  return (moves) => {
    const frames = Array.from({ length: moves }, () =>
      textFrame(contender.move(room, 0, crowd.tally.sending(sender, MEMBERS))),
    );
    crowd.sockets[0]!.send(Buffer.concat(frames));
  };
}

/** Steps for so many seconds. */
async function repeat(crowd: Crowd, mode: Mode, seconds: number, send: (moves: number) => void): Promise<void> {
  const end = performance.now() + seconds * 1000;
  let due = performance.now();
  while (performance.now() < end) {
    send(mode.moves);
    await crowd.tally.settled();
    due = Math.max(due + mode.pace, performance.now());
    if (mode.pace > 0) await Bun.sleep(due - performance.now());
  }
}
