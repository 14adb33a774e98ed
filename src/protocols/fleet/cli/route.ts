import type { Loc } from "../record.ts";

/** Degrees of latitude of a metre; of longitude it is more, by the latitude. */
const DEGREE = 1 / 111_320;

/** Where a vehicle is on its way, and which way it looks. */
export interface Place extends Loc {
  /** Degrees. */
  readonly heading: number;
  /** A corner or a stop is near: it drives slowly. */
  readonly isTight: boolean;
}

/**
 * A closed way along the streets of a town laid out in blocks, turned a little as towns are. `random` gives 0..1, so that
 * the same vehicle drives the same way in every run.
 */
export class Route {
  readonly length: number;
  readonly #corners: readonly { readonly x: number; readonly y: number; readonly at: number }[];
  readonly #depot: Loc;
  readonly #turn: number;

  constructor(depot: Loc, random: () => number) {
    this.#depot = depot;
    this.#turn = random() * 0.6;
    const block = 90 + random() * 80;
    const corners: { x: number; y: number; at: number }[] = [{ x: 0, y: 0, at: 0 }];
    const drive = (dx: number, dy: number) => {
      const { x, y, at } = corners.at(-1)!;
      corners.push({ x: x + dx, y: y + dy, at: at + Math.abs(dx) + Math.abs(dy) });
    };
    for (let leg = 0; leg < 10; leg++) {
      const blocks = Math.round(1 + random() * 7) * block * (random() < 0.5 ? -1 : 1);
      if (leg % 2 === 0) drive(blocks, 0);
      else drive(0, blocks);
    }
    const { x, y } = corners.at(-1)!;
    if (x !== 0) drive(-x, 0);
    if (y !== 0) drive(0, -y);
    this.#corners = corners;
    this.length = corners.at(-1)!.at;
  }

  /** The place after so many metres of the way; it begins anew at its end. */
  at(metres: number): Place {
    const along = metres % this.length;
    const next = this.#corners.findIndex(({ at }) => at > along);
    const [from, to] = [this.#corners[next - 1]!, this.#corners[next]!];
    const share = (along - from.at) / (to.at - from.at);
    const [x, y] = [from.x + (to.x - from.x) * share, from.y + (to.y - from.y) * share];
    const [sine, cosine] = [Math.sin(this.#turn), Math.cos(this.#turn)];
    const [east, north] = [x * cosine - y * sine, x * sine + y * cosine];
    const [dx, dy] = [
      (to.x - from.x) * cosine - (to.y - from.y) * sine,
      (to.x - from.x) * sine + (to.y - from.y) * cosine,
    ];
    const { lat, lon } = this.#depot;
    const place = {
      lat: Number((lat + north * DEGREE).toFixed(6)),
      lon: Number((lon + (east * DEGREE) / Math.cos((lat * Math.PI) / 180)).toFixed(6)),
    };
    const heading = Math.round((Math.atan2(dx, dy) * 180) / Math.PI + 360) % 360;
    return { ...place, heading, isTight: Math.min(along - from.at, to.at - along) < 25 };
  }
}
