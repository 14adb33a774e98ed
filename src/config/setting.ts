import * as v from "valibot";

/**
 * One setting: how its text in the environment becomes a value, and what a person must know of it. `patchbay check`,
 * `patchbay env` and the README's table are all made from these.
 */
export interface Setting<T = unknown> {
  /** Environment text to value. Its issues are shown to the operator, so they say what is expected. */
  readonly schema: v.GenericSchema<string, T>;
  /** Default as it would be written in the environment; null when there is none and the value is then undefined. */
  readonly fallback: string | null;
  readonly meaning: string;
  /** Masked wherever settings are printed. */
  readonly secret: boolean;
  /** Name of another environment variable that serves as the default. */
  readonly inherits?: string;
  /**
   * Without a value: in production the start is refused, otherwise a random one is made once and kept in DATA_DIR.
   * `unless` names another setting (full name) that makes this one optional when set.
   */
  readonly generated?: { readonly unless?: string };
}

/** A prefix and its settings: the key `roomTtl` in the section `TRACKER` is the variable `TRACKER_ROOM_TTL`. */
export interface Section {
  readonly prefix: string;
  readonly settings: Readonly<Record<string, Setting>>;
}

/** The typed values of a section. */
export type Values<S extends Section> = {
  readonly [Key in keyof S["settings"]]: S["settings"][Key] extends Setting<infer T> ? T : never;
};

/** Declares a section. */
export function section<const Settings extends Record<string, Setting>>(
  prefix: string,
  settings: Settings,
): { readonly prefix: string; readonly settings: Settings } {
  return { prefix, settings };
}

/** The environment variable of a key: `variable("TRACKER", "roomTtl")` is `TRACKER_ROOM_TTL`. */
export function variable(prefix: string, key: string): string {
  const name = key.replace(/([A-Z]+)/g, "_$1").toUpperCase();
  return prefix ? `${prefix}_${name}` : name;
}

const setting = <T>(schema: v.GenericSchema<string, T>, fallback: string | null, meaning: string): Setting<T> => ({
  schema,
  fallback,
  meaning,
  secret: false,
});

/** Text; with a null default the value may be undefined. */
export function text(fallback: string, meaning: string): Setting<string>;
export function text(fallback: null, meaning: string): Setting<string | undefined>;
export function text(fallback: string | null, meaning: string): Setting<string | undefined> {
  return setting<string | undefined>(v.string(), fallback, meaning);
}

const wholeNumber = (min: number, max: number) =>
  v.pipe(
    v.string(),
    v.trim(),
    v.regex(/^-?\d+$/, "expected a whole number"),
    v.transform(Number),
    v.minValue(min, `expected at least ${min}`),
    v.maxValue(max, `expected at most ${max}`),
  );

/** A whole number in a range. */
export function integer(
  fallback: number,
  meaning: string,
  range: { min?: number; max?: number } = {},
): Setting<number> {
  return setting(wholeNumber(range.min ?? 0, range.max ?? Number.MAX_SAFE_INTEGER), String(fallback), meaning);
}

/** Whole seconds in the environment, milliseconds in the program. */
export function seconds(
  fallback: number,
  meaning: string,
  range: { min?: number; max?: number } = {},
): Setting<number> {
  return setting(
    v.pipe(
      wholeNumber(range.min ?? 0, range.max ?? 10_000_000_000),
      v.transform((value) => value * 1000),
    ),
    String(fallback),
    meaning,
  );
}

const on = ["on", "true", "1", "yes"];
const off = ["off", "false", "0", "no"];

/** on/off, true/false, 1/0, yes/no. */
export function flag(fallback: boolean, meaning: string): Setting<boolean> {
  return setting(
    v.pipe(
      v.string(),
      v.trim(),
      v.toLowerCase(),
      v.picklist([...on, ...off], "expected on or off"),
      v.transform((value) => on.includes(value)),
    ),
    fallback ? "on" : "off",
    meaning,
  );
}

/** One word of a closed list. */
export function choice<const Options extends readonly string[]>(
  options: Options,
  fallback: Options[number],
  meaning: string,
): Setting<Options[number]> {
  return setting(
    v.pipe(v.string(), v.trim(), v.picklist(options, `expected one of ${options.join(", ")}`)),
    fallback,
    meaning,
  );
}

/** A comma list; empty text is the empty list. */
export function list(fallback: string, meaning: string): Setting<readonly string[]> {
  return setting(
    v.pipe(
      v.string(),
      v.transform((value) =>
        value
          .split(",")
          .map((item) => item.trim())
          .filter((item) => item !== ""),
      ),
    ),
    fallback,
    meaning,
  );
}

/** `*` or a comma list of origins. */
export function origins(fallback: string, meaning: string): Setting<"*" | readonly string[]> {
  return setting<"*" | readonly string[]>(
    v.pipe(
      v.string(),
      v.trim(),
      v.transform((value): "*" | readonly string[] =>
        value === "*" ? "*" : value.split(",").map((item) => item.trim().replace(/\/$/, "")),
      ),
      v.check(
        (value) => value === "*" || value.every((item) => URL.canParse(item)),
        "expected * or a comma list of origins such as https://app.example",
      ),
    ),
    fallback,
    meaning,
  );
}

/** An absolute URL; undefined when unset. */
export function url(meaning: string, schemes: readonly string[] = ["http:", "https:"]): Setting<string | undefined> {
  return setting<string | undefined>(
    v.pipe(
      v.string(),
      v.trim(),
      v.check(
        (value) => URL.canParse(value) && schemes.includes(new URL(value).protocol),
        `expected a URL starting with ${schemes.map((scheme) => `${scheme}//`).join(" or ")}`,
      ),
    ),
    null,
    meaning,
  );
}

/** A moment as ISO 8601 text, or epoch seconds; undefined when unset. */
export function instant(meaning: string): Setting<Date | undefined> {
  return setting<Date | undefined>(
    v.pipe(
      v.string(),
      v.trim(),
      v.transform((value) => (/^\d+$/.test(value) ? new Date(Number(value) * 1000) : new Date(value))),
      v.check((value) => !Number.isNaN(value.getTime()), "expected a date such as 2027-01-31T00:00:00Z"),
    ),
    null,
    meaning,
  );
}

/** Text that is masked wherever settings are printed; undefined when unset. */
export function secret(meaning: string): Setting<string | undefined> {
  return { ...setting<string | undefined>(v.pipe(v.string(), v.minLength(1)), null, meaning), secret: true };
}

/**
 * A signing secret that is always there: set, inherited, or generated outside production. Only with `unless`, which
 * names the setting that makes it optional, may it be undefined.
 */
export function signingSecret(meaning: string, options?: { inherits?: string }): Setting<string>;
export function signingSecret(
  meaning: string,
  options: { inherits?: string; unless: string },
): Setting<string | undefined>;
export function signingSecret(
  meaning: string,
  options: { inherits?: string; unless?: string } = {},
): Setting<string | undefined> {
  return {
    ...setting<string | undefined>(
      v.pipe(v.string(), v.minLength(16, "expected at least 16 characters")),
      null,
      meaning,
    ),
    secret: true,
    ...(options.inherits === undefined ? {} : { inherits: options.inherits }),
    generated: options.unless === undefined ? {} : { unless: options.unless },
  };
}
