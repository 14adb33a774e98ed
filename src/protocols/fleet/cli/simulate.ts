import * as v from "valibot";
import type { CommandInput } from "../../protocol.ts";
import { newSecret } from "../secrets.ts";
import type { FleetSettings } from "../settings.ts";
import { AdminClient, AdminRefused, KnownUnit, KnownUser, NewUnit } from "./admin-client.ts";
import { DriverApp } from "./driver-app.ts";
import { LinkTracker } from "./link-tracker.ts";
import { OsmAndTracker } from "./osmand-tracker.ts";
import type { UnitEvents, UnitLogin } from "./tracker.ts";
import { Vehicle } from "./vehicle.ts";

const LOGIN = "simulation";
/** Milliseconds between two lines about how it goes. */
const REPORT_INTERVAL = 5_000;

/** `patchbay fleet simulate` */
export async function run(input: CommandInput<FleetSettings>): Promise<void> {
  const { values, gateway, settings, print } = input;
  const host = ["0.0.0.0", "::"].includes(gateway.host) ? "127.0.0.1" : gateway.host;
  const url = String(values.url ?? `http://${host}:${gateway.port}`).replace(/\/$/, "");
  const [vehicles, every] = [above0(values.vehicles, "10", "vehicles"), above0(values.every, "1", "every")];
  const seconds = values.seconds === undefined ? null : above0(values.seconds, "", "seconds");
  const over = String(values.over ?? "link");
  if (!["link", "osmand"].includes(over)) throw new Error("--over takes link or osmand");
  const admin = new AdminClient(input);
  const logins = await prepareUnits(admin, url, vehicles);
  const password = await prepareUser(admin, logins);

  const tally = new Tally();
  const units = logins.map((login, index) => {
    const vehicle = new Vehicle(index + 1);
    const tracker =
      over === "osmand"
        ? new OsmAndTracker(vehicle, login, tally)
        : new LinkTracker(vehicle, login, tally, settings.ioOutputBase);
    return { vehicle, tracker, app: new DriverApp(login, tally) };
  });
  print(`${units.length} vehicles report to ${url}. Look on:`);
  print(`  curl -u ${LOGIN}:${password} ${url}/ws/vehiclesForUser`);
  // Spread over the period, as a real fleet is.
  const timers = units.map(({ vehicle, tracker, app }, index) => {
    const report = () => {
      const { rec, delivery } = vehicle.step(Date.now(), every);
      if (!tracker.report(rec)) return;
      tally.sent++;
      if (delivery) app.deliver(rec.loc);
    };
    const first = setTimeout(
      () => {
        report();
        timers[index]!.interval = setInterval(report, every * 1000);
      },
      (index / units.length) * every * 1000,
    );
    return { first, interval: undefined as Timer | undefined };
  });
  const lines = setInterval(() => print(tally.line), REPORT_INTERVAL);
  await end(seconds);
  clearInterval(lines);
  for (const { first, interval } of timers) {
    clearTimeout(first);
    clearInterval(interval);
  }
  for (const { tracker, app } of units) {
    tracker.close();
    app.close();
  }
  print(tally.line);
}

/** What has gone on so far. */
class Tally implements UnitEvents {
  sent = 0;
  #stored = 0;
  #commands = 0;
  readonly #failures = new Map<string, number>();

  stored(): void {
    this.#stored++;
  }

  commanded(): void {
    this.#commands++;
  }

  failed(reason: string): void {
    this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + 1);
  }

  get line(): string {
    const commands = this.#commands === 0 ? "" : `, ${this.#commands} commands heard`;
    const failures = [...this.#failures].map(([reason, count]) => `, ${count} times ${reason}`).join("");
    return `${this.sent} records sent, ${this.#stored} stored${commands}${failures}`;
  }
}

/** Units sim-1 .. sim-n with keys of this run. */
async function prepareUnits(admin: AdminClient, url: string, count: number): Promise<(UnitLogin & { uid: number })[]> {
  const known = new Map((await admin.list(KnownUnit, "/units")).map(({ unique_id, uid }) => [unique_id, uid]));
  const logins: (UnitLogin & { uid: number })[] = [];
  for (let number = 1; number <= count; number++) {
    const [unit, key, pndKey] = [`sim-${number}`, newSecret(), newSecret()];
    const keys = { key, pnd_key: pndKey };
    let uid = known.get(unit);
    if (uid === undefined) {
      const plate = `SIM-${String(number).padStart(4, "0")}`;
      uid = (
        await admin.call(NewUnit, "POST", "/units", { unique_id: unit, name: `Vehicle ${number}`, plate, ...keys })
      ).uid;
    } else await admin.call(v.unknown(), "PATCH", `/units/${uid}`, keys);
    logins.push({ uid, url, unit, key, pndKey });
  }
  return logins;
}

/** The user who looks on, with a password of this run, which is returned. */
async function prepareUser(admin: AdminClient, units: readonly { uid: number }[]): Promise<string> {
  const password = newSecret();
  let id: number;
  try {
    id = (await admin.call(KnownUser, "POST", "/users", { login: LOGIN, password })).user_id;
  } catch (error) {
    if (!(error instanceof AdminRefused) || error.status !== 409) throw error;
    const users = await admin.list(KnownUser, "/users");
    id = users.find(({ login }) => login === LOGIN)!.user_id;
    await admin.call(v.unknown(), "PATCH", `/users/${id}`, { password });
  }
  await admin.call(v.unknown(), "PUT", `/users/${id}/units`, { units: units.map(({ uid }) => ({ uid })) });
  return password;
}

/** Resolves after so many seconds, or at a signal. */
function end(seconds: number | null): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
    if (seconds !== null) setTimeout(resolve, seconds * 1000);
  });
}

function above0(text: string | boolean | undefined, otherwise: string, name: string): number {
  const number = Number(text ?? otherwise);
  if (number > 0 && Number.isFinite(number)) return number;
  throw new Error(`--${name} takes a number above 0`);
}
