import { expect, test } from "bun:test";
import { createMetrics } from "../../src/observe/metrics.ts";

/** The value of one series in a scrape, labels in any order; undefined when it is not there. */
function sample(text: string, name: string, labels: Record<string, string> = {}): number | undefined {
  const wanted = Object.entries(labels)
    .map(([key, value]) => `${key}="${value}"`)
    .sort()
    .join();
  for (const line of text.split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] === name && (match[2] ?? "").split(",").sort().join() === wanted) return Number(match[3]);
  }
  return undefined;
}

test("a counter costs an addition and is read at the scrape; the same labels are the same counter", async () => {
  const metrics = createMetrics();
  const chat = metrics.of("chat");
  const sent = chat.counter("messages", "Messages.", { result: "sent", kind: "text" });
  sent.value += 2;
  chat.counter("messages", "Messages.", { kind: "text", result: "sent" }).value++;
  metrics.of("fleet").counter("messages", "Messages.", { result: "sent", kind: "text" }).value = 7;
  metrics.gateway.counter("messages", "Messages.", { result: "refused", kind: "text" }).value++;
  const first = await metrics.text();
  const labels = { kind: "text", result: "sent" };
  expect(sample(first, "patchbay_messages_total", { protocol: "chat", ...labels })).toBe(3);
  expect(sample(first, "patchbay_messages_total", { protocol: "fleet", ...labels })).toBe(7);
  expect(sample(first, "patchbay_messages_total", { kind: "text", result: "refused" })).toBe(1);
  expect(first).toContain("# TYPE patchbay_messages_total counter");
  sent.value++;
  const second = await metrics.text();
  expect(sample(second, "patchbay_messages_total", { protocol: "chat", ...labels })).toBe(4);
  expect(sample(second, "patchbay_messages_total", { protocol: "fleet", ...labels })).toBe(7);
});

test("a counter that never counted is there as 0, so that rates can be drawn from the start", async () => {
  const metrics = createMetrics();
  metrics.gateway.counter("refused", "Refused.");
  metrics.of("chat").histogram("event_seconds", "Events.");
  const text = await metrics.text();
  expect(sample(text, "patchbay_refused_total")).toBe(0);
  expect(sample(text, "patchbay_event_seconds_count", { protocol: "chat" })).toBe(0);
});

test("a histogram tells 50 us from 100 us", async () => {
  const metrics = createMetrics();
  const times = metrics.of("tracker").histogram("event_seconds", "Events.", { event: "move" });
  times.observe(0.00005);
  times.observe(0.00009);
  times.observe(20);
  const text = await metrics.text();
  const labels = { protocol: "tracker", event: "move" };
  expect(sample(text, "patchbay_event_seconds_bucket", { ...labels, le: "0.00005" })).toBe(1);
  expect(sample(text, "patchbay_event_seconds_bucket", { ...labels, le: "0.0001" })).toBe(2);
  expect(sample(text, "patchbay_event_seconds_bucket", { ...labels, le: "+Inf" })).toBe(3);
  expect(sample(text, "patchbay_event_seconds_sum", labels)).toBeCloseTo(20.00014);
});

test("a gauge is read at each scrape, its reader can be replaced, and one that throws spoils nothing else", async () => {
  const metrics = createMetrics();
  const { gauge } = metrics.of("tracker");
  let rooms = 4;
  gauge("rooms", "Rooms.", () => rooms);
  gauge("broken", "Broken.", () => {
    throw new Error("no");
  });
  expect(sample(await metrics.text(), "patchbay_rooms", { protocol: "tracker" })).toBe(4);
  rooms = 5;
  expect(sample(await metrics.text(), "patchbay_rooms", { protocol: "tracker" })).toBe(5);
  gauge("rooms", "Rooms.", () => 9);
  const text = await metrics.text();
  expect(sample(text, "patchbay_rooms", { protocol: "tracker" })).toBe(9);
  expect(text).toMatch(/patchbay_broken\{protocol="tracker"\} nan/i);
});

test("a second declaration with other labels is a mistake that shows at once", () => {
  const metrics = createMetrics();
  metrics.of("chat").counter("closes", "Closes.", { code: "4009" });
  expect(() => metrics.of("fleet").counter("closes", "Closes.", { reason: "x" })).toThrow(
    "metric patchbay_closes_total has the labels (code), not (reason)",
  );
});

test("the process tells its vital signs", async () => {
  const metrics = createMetrics();
  const text = await metrics.text();
  expect(metrics.contentType).toStartWith("text/plain; version=0.0.4");
  expect(text).toMatch(/patchbay_build_info\{version="\d+\.\d+\.\d+",commit="development",bun="[\d.]+"\} 1/);
  expect(sample(text, "patchbay_process_resident_memory_bytes")).toBeGreaterThan(1e7);
  expect(sample(text, "patchbay_process_cpu_seconds_total")).toBeGreaterThan(0);
  const started = sample(text, "patchbay_process_start_time_seconds") ?? 0;
  expect(started).toBeGreaterThan(1.7e9);
  expect(started).toBeLessThanOrEqual(Date.now() / 1000);
  expect(sample(text, "patchbay_event_loop_lag_seconds_count")).toBeGreaterThanOrEqual(0);
  if (process.platform === "linux") {
    expect(sample(text, "patchbay_process_open_fds")).toBeGreaterThan(2);
    expect(sample(text, "patchbay_process_max_fds")).toBeGreaterThan(10);
  }
});

test("the lag of the event loop is what a blocked loop makes others wait", async () => {
  const metrics = createMetrics();
  const blockedUntil = performance.now() + 400;
  while (performance.now() < blockedUntil);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const text = await metrics.text();
    if (sample(text, "patchbay_event_loop_lag_seconds_count")) {
      expect(sample(text, "patchbay_event_loop_lag_seconds_sum")).toBeGreaterThan(0.1);
      return;
    }
  }
});
