/** Measures what 5,000 idle channels cost in resident memory, in a process of its own; prints one line of JSON. */
import { systemClock } from "../../src/clock.ts";
import { endpoint, Station } from "./station.ts";

const warmUp = 2_000;
const measured = 5_000;
const station = Station.startOn(systemClock, endpoint());

/** Adds idle clients from a process of their own. */
async function add(count: number): Promise<{ kill(): void }> {
  const command = ["bun", `${import.meta.dir}/crowd.ts`, station.url(), String(count)];
  const crowd = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const reader = crowd.stdout.getReader();
  await reader.read();
  reader.releaseLock();
  return crowd;
}

/** Resident memory once it stops shrinking. */
async function resident(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let same = 0; same < 5; same++) {
    Bun.gc(true);
    await Bun.sleep(100);
    const now = process.memoryUsage.rss();
    if (now < least) same = 0;
    least = Math.min(least, now);
  }
  return least;
}

// The first sockets also pay for code that is compiled and pools that are made only once.
const crowds = [await add(warmUp)];
const before = await resident();
crowds.push(await add(measured));
const after = await resident();
const connections = station.mount.size - warmUp;
process.stdout.write(JSON.stringify({ connections, bytesEach: Math.round((after - before) / connections) }));
for (const crowd of crowds) crowd.kill();
process.exit(0);
