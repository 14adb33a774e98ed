import { readFileSync } from "node:fs";

/** What the operating system has on record for a process: CPU seconds of all its threads so far, resident bytes now. */
export interface Usage {
  readonly cpu: number;
  readonly rss: number;
}

/** Ticks a second in /proc: USER_HZ, which is 100 on every architecture that Bun runs on. */
const TICKS = 100;

/** Reads the usage of a process from /proc, or from `ps` where there is no /proc. Throws when the process is gone. */
export function usageOf(pid: number): Usage {
  if (process.platform !== "linux") return usageByPs(pid);
  // The command's name, in brackets, may hold spaces and brackets itself; what follows it does not.
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return { cpu: (Number(fields[11]) + Number(fields[12])) / TICKS, rss: Number(rss?.[1] ?? 0) * 1024 };
}

/** CPU seconds that all processes of the machine together have used since it started; NaN where there is no /proc. */
export function machineCpu(): number {
  if (process.platform !== "linux") return Number.NaN;
  const [total = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
  const [user, nice, system, _idle, _waiting, irq, softIrq, steal] = total.trim().split(/\s+/).slice(1).map(Number);
  return (user! + nice! + system! + irq! + softIrq! + steal!) / TICKS;
}

/** `ps` tells time as [[days-]hours:]minutes:seconds and memory in KiB. */
function usageByPs(pid: number): Usage {
  const { stdout } = Bun.spawnSync(["ps", "-o", "time=,rss=", "-p", String(pid)]);
  const [time, rss] = stdout.toString().trim().split(/\s+/);
  if (time === undefined || rss === undefined) throw new Error(`process ${pid} is gone`);
  const [clock = "0", days = "0"] = time.split("-").reverse();
  const seconds = clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  return { cpu: Number(days) * 86_400 + seconds, rss: Number(rss) * 1024 };
}
