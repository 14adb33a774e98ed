/** Levels by I/O number. */
export type IoLevels = Readonly<Record<string, number>>;

const pair = /(DI|DO|AIN?)(\d{0,3}):(-?\d+(?:\.\d+)?)(?=\s|,|;|$)/gi;

/**
 * Reads the text with which a tracker answers `getio`: pairs such as `DI1:1 DO2:0 AIN1:12.5`, no number meaning 1
 * (F-12.44). Outputs and analog inputs are numbered above their bases (F-5.14). Null when nothing of it is a pair.
 */
export function readIoText(text: string, bases: { output: number; analog: number }): IoLevels | null {
  const levels: Record<string, number> = {};
  for (const [, kind = "", number, level] of text.matchAll(pair)) {
    const base = kind.toUpperCase() === "DO" ? bases.output : kind.toUpperCase() === "DI" ? 0 : bases.analog;
    levels[base + Number(number || 1)] = Number(level);
  }
  return Object.keys(levels).length > 0 ? levels : null;
}
