import { KNOT } from "../ingress/position.ts";
import type { Tracker, UnitEvents, UnitLogin } from "./tracker.ts";
import type { Vehicle, VehicleRecord } from "./vehicle.ts";

/**
 * A tracker that can do no more than call a URL (F-12.25). What it is told stands in the answer (F-12.45); it carries
 * that out, and its next report shows it.
 */
export class OsmAndTracker implements Tracker {
  readonly #vehicle: Vehicle;
  readonly #login: UnitLogin;
  readonly #events: UnitEvents;

  constructor(vehicle: Vehicle, login: UnitLogin, events: UnitEvents) {
    this.#vehicle = vehicle;
    this.#login = login;
    this.#events = events;
  }

  report(record: VehicleRecord): boolean {
    void this.#send(record);
    return true;
  }

  close(): void {}

  async #send({ tmx, loc, gsp, hdg, gkm, exd }: VehicleRecord): Promise<void> {
    const { url, unit: id, key } = this.#login;
    const { inputs, outputs } = this.#vehicle;
    const report = {
      ...{ id, key, timestamp: tmx, lat: loc.lat, lon: loc.lon, altitude: exd.alt },
      ...{ speed: (gsp / KNOT).toFixed(1), bearing: hdg, odometer: gkm * 1000, charge: true, sat: exd.sat },
      ...{ rpm: exd.eco.rpm, fuelLevel: exd.eco.flv, driverUniqueId: exd.eco.dcl },
      ...{ ...named("in", inputs), ...named("out", outputs) },
    };
    const query = new URLSearchParams(
      Object.entries(report).map(([name, value]): [string, string] => [name, `${value}`]),
    );
    try {
      const response = await fetch(`${url}/fleet/ingress/osmand?${query}`);
      const command = (await response.text()).trim();
      if (!response.ok) return this.#events.failed(`HTTP ${response.status}`);
      this.#events.stored();
      if (command === "") return;
      this.#events.commanded();
      this.#vehicle.answer(command);
    } catch (error) {
      this.#events.failed(error instanceof Error ? error.message : String(error));
    }
  }
}

const named = (kind: "in" | "out", levels: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(levels).map(([number, level]) => [kind + number, level]));
