import * as v from "valibot";
import { DeviceLink } from "./device-link.ts";
import type { Tracker, UnitEvents, UnitLogin } from "./tracker.ts";
import type { Vehicle, VehicleRecord } from "./vehicle.ts";

const Command = v.object({ t: v.literal("cmd"), id: v.string(), cmd: v.string() });

/** A tracker on a device link: it answers at once to what it is told. */
export class LinkTracker implements Tracker {
  readonly #link: DeviceLink;
  readonly #vehicle: Vehicle;
  readonly #outputBase: number;
  #seq = 0;

  constructor(vehicle: Vehicle, login: UnitLogin, events: UnitEvents, outputBase: number) {
    this.#vehicle = vehicle;
    this.#outputBase = outputBase;
    this.#link = new DeviceLink(login, "tracker", events, (frame) => {
      if (frame.t === "ack") events.stored();
      const command = v.safeParse(Command, frame);
      if (!command.success) return;
      events.commanded();
      const { id, cmd } = command.output;
      const text = vehicle.answer(cmd);
      this.#link.send({ t: "cmd-result", id, ...(text === null ? { ok: false } : { ok: true, text }) });
    });
  }

  report({ exd, ...rec }: VehicleRecord): boolean {
    const outputs = Object.entries(this.#vehicle.outputs).map(([number, level]) => {
      return [this.#outputBase + Number(number), level] as const;
    });
    const io = { ...exd.io, ...Object.fromEntries(outputs) };
    return this.#link.send({ t: "records", seq: ++this.#seq, records: [{ ...rec, exd: { ...exd, io } }] });
  }

  close(): void {
    this.#link.close();
  }
}
