import type { Clock } from "../clock.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** What `/readyz` says. Holds no addresses and no error texts: those are in the log. */
export interface Readiness {
  /** True when this node should get new connections. */
  readonly ok: boolean;
  readonly checks: Readonly<Record<string, "ok" | "failed" | "late" | "draining">>;
}

/** Whether this node should get traffic, by named checks. Liveness needs none: whoever answers is alive. */
export interface Health {
  /** Adds a dependency, or replaces the check of one. `run` rejects while it is away. Shown as `patchbay_up`. */
  check(dependency: string, run: () => Promise<void>): void;
  /** From now on the node is not ready, whatever its dependencies say. */
  drain(): void;
  /** Answers within {@link timeLimit}, and asks the dependencies at most once in {@link freshFor}. */
  ready(): Promise<Readiness>;
}

/** Milliseconds after which a check that has not answered counts as failed. */
export const timeLimit = 2_000;
/** Milliseconds for which an answer is given again, so that eager probes do not load the dependencies. */
export const freshFor = 1_000;

/** Makes the health of a node. */
export function createHealth(options: { clock: Clock; metrics: Metrics; log?: Log }): Health {
  const { clock, metrics, log } = options;
  const checks = new Map<string, () => Promise<void>>();
  /** The last verdict on each dependency; a new one counts as up until it was asked. */
  const verdicts = new Map<string, "ok" | "failed" | "late">();
  let draining = false;
  let asked = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | null = null;

  const ask = async (dependency: string, run: () => Promise<void>): Promise<void> => {
    const before = verdicts.get(dependency);
    let problem: unknown;
    const verdict = await new Promise<"ok" | "failed" | "late">((resolve) => {
      const cancel = clock.after(timeLimit, () => resolve("late"));
      const answer = (verdict: "ok" | "failed", error?: unknown) => {
        cancel();
        problem = error;
        resolve(verdict);
      };
      // Called inside a promise so that a check that throws at once is one that failed.
      Promise.resolve()
        .then(run)
        .then(
          () => answer("ok"),
          (error: unknown) => answer("failed", error),
        );
    });
    verdicts.set(dependency, verdict);
    if (verdict === "ok" && before !== undefined && before !== "ok") log?.info({ dependency }, "dependency is back");
    if (verdict !== "ok" && (before ?? "ok") === "ok") {
      log?.warn({ dependency, verdict, error: problem }, "dependency is away");
    }
  };

  const refresh = async (): Promise<void> => {
    if (clock.elapsed() - asked < freshFor) return;
    asking ??= Promise.all([...checks].map(([dependency, run]) => ask(dependency, run)))
      .then(() => {
        asked = clock.elapsed();
      })
      .finally(() => {
        asking = null;
      });
    await asking;
  };

  return {
    check(dependency, run) {
      checks.set(dependency, run);
      asked = Number.NEGATIVE_INFINITY;
      metrics.gateway.gauge(
        "up",
        "1 while the dependency answers, by the last look at it.",
        () => {
          // A scrape cannot wait, but where nobody probes readiness it keeps the next scrape's answer fresh.
          void refresh();
          return (verdicts.get(dependency) ?? "ok") === "ok" ? 1 : 0;
        },
        { dependency },
      );
    },
    drain() {
      draining = true;
    },
    async ready() {
      await refresh();
      const answers: Record<string, Readiness["checks"][string]> = Object.fromEntries(verdicts);
      if (draining) answers.draining = "draining";
      return { ok: Object.values(answers).every((answer) => answer === "ok"), checks: answers };
    },
  };
}
