/** Stands in the inbox for a frame over the limit, whose bytes are not kept. */
export const OVERSIZE = Symbol("oversize");

/** What waits in an inbox. */
export type Frame = string | Uint8Array | typeof OVERSIZE;

/** Taken places that are kept at most before the array is cut. */
const STEP = 1_024;

/**
 * Frames of one channel that wait for their turn, first in first out. The head moves on instead of shifting the rest,
 * because one read of the socket can bring tens of thousands of small frames.
 */
export class Inbox {
  #frames: (Frame | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#frames.length - this.#head;
  }

  add(frame: Frame): void {
    this.#frames.push(frame);
  }

  /** The frame that has waited longest; undefined when none waits. */
  take(): Frame | undefined {
    const frame = this.#frames[this.#head];
    if (frame === undefined) return undefined;
    this.#frames[this.#head++] = undefined;
    if (this.#head >= STEP && this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
    return frame;
  }
}
