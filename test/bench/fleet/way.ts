import { Vehicle } from "../../../src/protocols/fleet/cli/vehicle.ts";

/** Seconds of driving that are made ahead, after which a vehicle begins again. */
const SECONDS = 60;

/**
 * The records of a vehicle as JSON. All but what is new each time is made ahead: what the load thinks while it is measured,
 * it takes from the gateway.
 */
export class Way {
  readonly #bodies: readonly string[];
  #next = 0;

  constructor(number: number) {
    const vehicle = new Vehicle(number);
    this.#bodies = Array.from({ length: SECONDS }, (_, second) => {
      const { tmx: _tmx, ...body } = vehicle.step(second * 1000, 1).rec;
      return JSON.stringify(body).slice("{".length, -"}}".length);
    });
  }

  /**
   * The next record, with the moment it is sent at in `exd`.
   *
   * @param tmx its time, as ISO text
   * @param index tells it from others of the same millisecond, which would count as doubles
   */
  next(tmx: string, index: number): string {
    const body = this.#bodies[this.#next++ % SECONDS]!;
    return `{"tmx":"${tmx}",${body},"at":${performance.now()}},"index":${index}}`;
  }
}
