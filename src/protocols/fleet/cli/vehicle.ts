import { Route } from "./route.ts";

/** Where the simulated fleet is at home. */
const depot = { lat: 38.7223, lon: -9.1393 };
/** Inputs of a simulated vehicle. */
const IGNITION = 1;
const DOOR = 2;
/** Its only output, which `setdigout` switches. */
const OUTPUT = 1;

/** Levels by number. */
type Levels = Readonly<Record<string, 0 | 1>>;

/** A record as a device link takes it. */
export interface VehicleRecord {
  readonly tmx: string;
  readonly loc: { readonly lat: number; readonly lon: number };
  readonly gsp: number;
  readonly hdg: number;
  readonly gkm: number;
  readonly exd: {
    readonly sat: number;
    readonly alt: number;
    readonly bpp: 0;
    readonly eco: { readonly edt: 1; readonly rpm: number; readonly flv: number; readonly dcl: string };
    readonly io: Levels;
  };
}

/** A record, and what has just begun with it. */
export interface Step {
  readonly rec: VehicleRecord;
  /** A stop has just begun: there is something to deliver. */
  readonly delivery: boolean;
}

/** One vehicle: drives its way, slows down at corners, stops now and then, switches off, opens its door. */
export class Vehicle {
  readonly #random: () => number;
  readonly #route: Route;
  readonly #odometer: number;
  readonly #card: string;
  #metres: number;
  /** km/h. */
  #speed = 0;
  /** Seconds it still stands. */
  #standing = 0;
  #output: 0 | 1 = 0;

  constructor(number: number) {
    this.#random = randomOf(number);
    this.#route = new Route(
      { lat: depot.lat + (this.#random() - 0.5) * 0.1, lon: depot.lon + (this.#random() - 0.5) * 0.12 },
      this.#random,
    );
    this.#odometer = Math.floor(50_000_000 + this.#random() * 400_000_000);
    this.#card = String(1_000_000 + number).padStart(16, "0");
    this.#metres = this.#random() * this.#route.length;
  }

  /** Levels of its inputs. */
  get inputs(): Levels {
    const stands = this.#standing > 0;
    return { [IGNITION]: stands ? 0 : 1, [DOOR]: stands && this.#standing > 5 ? 1 : 0 };
  }

  /** Levels of its outputs. */
  get outputs(): Levels {
    return { [OUTPUT]: this.#output };
  }

  /** Lets time pass and says where it is. */
  step(now: number, seconds: number): Step {
    const wasStanding = this.#standing > 0;
    if (wasStanding) this.#standing = Math.max(0, this.#standing - seconds);
    const place = this.#route.at(this.#metres);
    const delivery = !wasStanding && place.isTight && this.#random() < 0.03 * seconds;
    if (delivery) this.#standing = 10 + this.#random() * 30;
    const wanted = this.#standing > 0 ? 0 : place.isTight ? 18 : 48;
    this.#speed += (wanted - this.#speed) * Math.min(1, 0.5 * seconds) + (wanted > 0 ? (this.#random() - 0.5) * 4 : 0);
    if (wanted === 0 && this.#speed < 2) this.#speed = 0;
    this.#metres += (Math.max(0, this.#speed) / 3.6) * seconds;
    const gsp = Math.max(0, Math.round(this.#speed));
    const eco = { edt: 1, rpm: gsp === 0 ? 750 : 900 + gsp * 22, flv: this.#fuel, dcl: this.#card } as const;
    const rec: VehicleRecord = {
      tmx: new Date(now).toISOString(),
      loc: { lat: place.lat, lon: place.lon },
      ...{ gsp, hdg: place.heading, gkm: Math.floor((this.#odometer + this.#metres) / 1000) },
      exd: { sat: 9 + Math.floor(this.#random() * 7), alt: 40, bpp: 0, eco, io: this.inputs },
    };
    return { rec, delivery };
  }

  /** Does what a command says; the text a tracker answers with, null for a command it does not know. */
  answer(command: string): string | null {
    const [word = "", argument = ""] = command.trim().toLowerCase().split(/\s+/);
    switch (word) {
      case "getio": {
        const inputs = Object.entries(this.inputs).map(([number, level]) => `DI${number}:${level}`);
        return [...inputs, `DO${OUTPUT}:${this.#output}`, "AIN1:13.8"].join(" ");
      }
      case "getver":
        return "Ver:sim Hw:sim";
      case "setdigout":
        this.#output = argument.startsWith("1") ? 1 : 0;
        return `DOUT${OUTPUT}:${this.#output}`;
      default:
        return null;
    }
  }

  /** It is filled up again before it is empty. */
  get #fuel(): number {
    return 100 - (Math.floor(this.#metres / 2_000) % 80);
  }
}

/** Mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
