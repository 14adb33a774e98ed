import { readFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { build } from "./build.ts";

/**
 * Registers the vital signs of this process. prom-client's own set is built on Node's `perf_hooks` and names series
 * after Node's heap, which say little on Bun; these are the ones an operator of a gateway looks at.
 */
export function registerProcessMetrics(registry: Registry): void {
  const registers = [registry];
  new Gauge({
    name: "patchbay_build_info",
    help: "Always 1; what is running.",
    labelNames: ["version", "commit", "bun"],
    registers,
  }).set({ ...build }, 1);
  new Gauge({
    name: "patchbay_process_start_time_seconds",
    help: "When the process started, in seconds since the epoch.",
    registers,
  }).set(Date.now() / 1000 - process.uptime());
  new Gauge({
    name: "patchbay_process_resident_memory_bytes",
    help: "Memory of the process.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Counter({
    name: "patchbay_process_cpu_seconds_total",
    help: "Processor time used, user and system.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  new Gauge({
    name: "patchbay_process_open_fds",
    help: "Open file descriptors; every socket is one.",
    registers,
    async collect() {
      const open = await openDescriptors();
      if (open !== null) this.set(open);
    },
  });
  new Gauge({
    name: "patchbay_process_max_fds",
    help: "Most file descriptors the process may open.",
    registers,
  }).set(maxDescriptors() ?? Number.NaN);
  measureLag(registers);
}

/** Milliseconds between two looks at the event loop. */
const lagEvery = 250;

/** How much later than due a timer runs: what every message waits beside its own handling. */
function measureLag(registers: Registry[]): void {
  const lag = new Histogram({
    name: "patchbay_event_loop_lag_seconds",
    help: "How much later than due a timer ran, looked at four times a second.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  let due = performance.now() + lagEvery;
  setInterval(() => {
    const now = performance.now();
    lag.observe(Math.max(0, now - due) / 1000);
    due = now + lagEvery;
  }, lagEvery).unref();
}

const descriptorFolder = "/proc/self/fd";

/** Open file descriptors, or null where the system does not tell. */
async function openDescriptors(): Promise<number | null> {
  try {
    // Since Linux 6.2 the folder's size is their number; before, it is 0 and they must be listed.
    const { size } = await stat(descriptorFolder);
    return size > 0 ? size : (await readdir(descriptorFolder)).length;
  } catch {
    return null;
  }
}

/** The soft limit of file descriptors, or null where the system does not tell. */
export function maxDescriptors(): number | null {
  try {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    if (limit === undefined) return null;
    return limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return null;
  }
}
