import type { Protocol } from "./protocol.ts";
import { tracker } from "./tracker/protocol.ts";

/** Every protocol this gateway speaks; the only place that names them. */
export const protocols: readonly Protocol[] = [tracker];
