import { describe, expect, test } from "bun:test";
import { safeParse } from "valibot";
import { nearest } from "../../src/config/nearest.ts";
import {
  addresses,
  choice,
  days,
  flag,
  instant,
  integer,
  list,
  milliseconds,
  origins,
  type Setting,
  seconds,
  secret,
  text,
  url,
  variable,
} from "../../src/config/setting.ts";

/** What a text becomes, or the message of its refusal in an array. */
function read(setting: Setting, given: string): unknown {
  const parsed = safeParse(setting.schema, given);
  return parsed.success ? parsed.output : [parsed.issues[0].message];
}

test.each([
  ["", "jwtSecret", "JWT_SECRET"],
  ["TRACKER", "roomTtl", "TRACKER_ROOM_TTL"],
  ["TRACKER", "eio3", "TRACKER_EIO3"],
  ["FLEET", "sessionTtlS", "FLEET_SESSION_TTL_S"],
  ["CONVERSATIONS", "s3AccessKeyId", "CONVERSATIONS_S3_ACCESS_KEY_ID"],
])("%s %s is %s", (prefix, key, name) => {
  expect(variable(prefix, key)).toBe(name);
});

const number = ["expected a number such as 30 or 0.5"];
const cases: [string, Setting, string, unknown][] = [
  ["integer", integer(1, ""), " 42 ", 42],
  ["integer", integer(1, ""), "1e3", ["expected a whole number"]],
  ["integer", integer(1, ""), "-1", ["expected at least 0"]],
  ["integer", integer(1, "", { min: -5 }), "-5", -5],
  ["integer", integer(1, ""), "9007199254740993", ["expected at most 9007199254740991"]],
  ["W-14.21 seconds", seconds(1, ""), "0.25", 250],
  ["seconds", seconds(1, "", { min: 1 }), "0.5", ["expected at least 1"]],
  ["seconds", seconds(1, ""), "1s", number],
  ["seconds", seconds(1, ""), "Infinity", number],
  ["W-14.21 milliseconds", milliseconds(1, ""), "0.5", 0.5],
  ["W-14.21 days", days(31, ""), "0.5", 43_200_000],
  ["flag", flag(true, ""), "OFF", false],
  ["flag", flag(true, ""), "2", ["expected on or off"]],
  ["choice", choice(["a", "b"], "a", ""), "c", ["expected one of a, b"]],
  ["list", list("", ""), " a ,, b", ["a", "b"]],
  ["list", list("a", ""), "none", []],
  ["origins", origins("*", ""), "*", "*"],
  ["origins", origins("*", ""), "https://a.example/, http://b:1", ["https://a.example", "http://b:1"]],
  ["url", url(""), "https://a.example/x", "https://a.example/x"],
  ["url", url(""), "file:///etc/passwd", ["expected a URL starting with http:// or https://"]],
  ["instant", instant(""), "2027-01-31T00:00:00Z", new Date(Date.UTC(2027, 0, 31))],
  ["instant", instant(""), "1800000000", new Date(1_800_000_000_000)],
  ["instant", instant(""), "soon", ["expected a date such as 2027-01-31T00:00:00Z"]],
  ["addresses", addresses("", ""), "10.0.0.0/8,::1,fd00::/8", ["10.0.0.0/8", "::1", "fd00::/8"]],
  ["text", text(null, ""), " as it is ", " as it is "],
  ["secret", secret(""), "x", "x"],
];
test.each(cases)("%s %#", (_kind, setting, given, expected) => {
  expect(read(setting, given)).toEqual(expected);
});

test.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::1/129", "host", "1.2.3.4/8/8", "1.2.3.4/-1"])(
  "%s is no address or block",
  (given) => {
    expect(read(addresses("", ""), given)).toEqual(["expected a comma list such as 10.0.0.0/8,192.168.1.7,fd00::/8"]);
  },
);

describe("every default fits its own schema", () => {
  const settings: Setting[] = cases.map(([, setting]) => setting);
  test.each(settings.filter((setting) => setting.fallback !== null))("%#", (setting) => {
    expect(safeParse(setting.schema, setting.fallback).success).toBe(true);
  });
});

describe("nearest", () => {
  test.each([
    ["ROM_TTL", "ROOM_TTL"],
    ["migarte", "migrate"],
    ["xyz", null],
    ["", null],
  ])("%s -> %s", (word, expected) => {
    expect(nearest(word, ["ROOM_TTL", "migrate", "serve"])).toBe(expected);
  });
});
