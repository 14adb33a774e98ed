import { isIP } from "node:net";
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
   * Without a value: in production the start is refused, otherwise a random one is made once and kept in DATA_DIR, under
   * the name of the variable it inherits from if it inherits. `unless` names another setting (full name) that makes this
   * one optional when set, or when set to one value (`NAME=off`). With `production` it is made there too.
   */
  readonly generated?: { readonly unless?: string; readonly production?: boolean };
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

/** The environment variables of a section, in order. */
export function settingNames(section: Section): string[] {
  return Object.keys(section.settings).map((key) => variable(section.prefix, key));
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

const duration =
  (unit: number) =>
  (fallback: number, meaning: string, range: { min?: number; max?: number } = {}): Setting<number> => {
    const { min = 0, max = 10_000_000_000 } = range;
    return setting(
      v.pipe(
        v.string(),
        v.trim(),
        v.regex(/^-?\d+(\.\d+)?$/, "expected a number such as 30 or 0.5"),
        v.transform(Number),
        v.minValue(min, `expected at least ${min}`),
        v.maxValue(max, `expected at most ${max}`),
        v.transform((value) => value * unit),
      ),
      String(fallback),
      meaning,
    );
  };

/** Seconds in the environment (fractions allowed, W-14.21), milliseconds in the program. Default and range in seconds. */
export const seconds = duration(1_000);
/** Milliseconds in the environment and in the program. */
export const milliseconds = duration(1);
/** Days in the environment, milliseconds in the program. Default and range in days. */
export const days = duration(86_400_000);

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

const commaList = v.pipe(
  v.string(),
  v.transform((value): readonly string[] =>
    value.trim() === "none"
      ? []
      : value
          .split(",")
          .map((item) => item.trim())
          .filter((item) => item !== ""),
  ),
);

/** A comma list. `none` is the empty list where there is a default: an empty variable counts as not set. */
export function list(fallback: string, meaning: string): Setting<readonly string[]> {
  return setting(commaList, fallback, meaning);
}

/** Protocols of URLs, with their colons. */
type Schemes = readonly string[];
const WEB: Schemes = ["http:", "https:"];

const isUrl = (text: string, schemes: Schemes) => URL.canParse(text) && schemes.includes(new URL(text).protocol);
const named = (schemes: Schemes) => schemes.map((scheme) => `${scheme}//`).join(" or ");

/** A comma list of absolute URLs, `none` as in {@link list}. */
export function urls(fallback: string, meaning: string, schemes: Schemes = WEB): Setting<readonly string[]> {
  const isFitting = (items: readonly string[]) => items.every((item) => isUrl(item, schemes));
  return setting(
    v.pipe(commaList, v.check(isFitting, `expected URLs starting with ${named(schemes)}`)),
    fallback,
    meaning,
  );
}

/** A comma list of host:port, `none` as in {@link list}. */
export function endpoints(fallback: string, meaning: string): Setting<readonly string[]> {
  return setting(
    v.pipe(
      commaList,
      v.check((items) => items.every(isEndpoint), "expected a comma list of host:port"),
    ),
    fallback,
    meaning,
  );
}

function isEndpoint(text: string): boolean {
  const [, port = ""] = /^[^\s:/@]+:(\d{1,5})$/.exec(text) ?? [];
  return Number(port) > 0 && Number(port) <= 65_535;
}

/** A comma list of IP addresses and CIDR blocks. */
export function addresses(fallback: string, meaning: string): Setting<readonly string[]> {
  return setting(
    v.pipe(
      commaList,
      v.check(
        (items) => items.every(isAddressOrBlock),
        "expected a comma list such as 10.0.0.0/8,192.168.1.7,fd00::/8",
      ),
    ),
    fallback,
    meaning,
  );
}

function isAddressOrBlock(text: string): boolean {
  const [address = "", prefix, ...more] = text.split("/");
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
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
export function url(meaning: string, schemes: Schemes = WEB): Setting<string | undefined> {
  return setting<string | undefined>(
    v.pipe(
      v.string(),
      v.trim(),
      v.check((value) => isUrl(value, schemes), `expected a URL starting with ${named(schemes)}`),
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

/** The same setting with a variable of the gateway as its default. */
export function inheriting<T>(given: Setting<T>, inherits: string): Setting<T> {
  return { ...given, inherits };
}

/** Text that is masked wherever settings are printed; undefined when unset. */
export function secret(meaning: string): Setting<string | undefined> {
  return { ...setting<string | undefined>(v.pipe(v.string(), v.minLength(1)), null, meaning), secret: true };
}

const key = v.pipe(v.string(), v.minLength(16, "expected at least 16 characters"));

/** A secret that others inherit; it is only asked for, or generated, when one of them needs it. */
export function sharedSecret(meaning: string): Setting<string | undefined> {
  return { ...setting<string | undefined>(key, null, meaning), secret: true };
}

/** A secret that is always there: when it is not set, one is made at the first start, in production too, and kept. */
export function keptSecret(meaning: string): Setting<string> {
  return { ...setting<string>(key, null, meaning), secret: true, generated: { production: true } };
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
    ...setting<string | undefined>(key, null, meaning),
    secret: true,
    ...(options.inherits === undefined ? {} : { inherits: options.inherits }),
    generated: options.unless === undefined ? {} : { unless: options.unless },
  };
}
