import type { Clock } from "../../clock.ts";
import type { Task } from "../protocol.ts";
import type { Bans } from "./bans.ts";
import { closes } from "./closes.ts";
import type { Connections } from "./connections.ts";
import type { Devices } from "./devices.ts";
import { finish } from "./session.ts";

const SECOND = 1_000;
/** Well inside the minute of C-6.7. */
const BAN_CHECK = 30 * SECOND;
const BAN_PURGE = 3_600 * SECOND;

/** The work that recurs: sockets that have had their time, and bans the messages about which were missed. */
export function upkeep(
  { devices, connections, bans, clock }: { devices: Devices; connections: Connections; bans: Bans; clock: Clock },
  /** Milliseconds: how much longer than its token a socket lives, and how long without a frame (0: for ever). */
  { clockSkew, afk }: { clockSkew: number; afk: number },
): Task[] {
  return [
    {
      name: "end expired and inactive sockets",
      every: SECOND,
      run() {
        const [now, elapsed] = [clock.now(), clock.elapsed()];
        for (const channel of devices.all()) {
          const { expires, heard } = channel.session;
          if (expires + clockSkew <= now) void finish(channel, closes.badToken);
          else if (afk > 0 && heard + afk <= elapsed) void finish(channel, closes.inactive);
        }
      },
    },
    {
      name: "end sockets of banned users",
      every: BAN_CHECK,
      async run() {
        for (const user of await bans.among(devices.users())) connections.endHere(user, closes.banned);
      },
    },
    { name: "forget ended bans", every: BAN_PURGE, run: () => bans.purge() },
  ];
}
