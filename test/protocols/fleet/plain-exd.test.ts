import { expect, test } from "bun:test";
import * as v from "valibot";
import { Exd } from "../../../src/protocols/fleet/device/messages.ts";
import { isPlainExd } from "../../../src/protocols/fleet/device/plain-exd.ts";

/** As JSON gives them: some that belong somewhere, some that belong nowhere. */
const values = [
  ...["0", "1", "-1.5", "1e999", '""', '"text"', `"${"x".repeat(300)}"`, "true", "null", "[]", "[1,0]", "{}"],
  ...['{"1":1}', '{"1":true}', '{"1":"high"}', '{"1":{}}', '{"x":1}', '{"1234567890":1}', '{"1":1e999}'],
  ...['{"rpm":750,"dcl":"0000000000000042"}', '{"rpm":"750"}', '{"dcl":42}'],
  ...[`{"dcl":"${"0".repeat(65)}"}`, `{"${"k".repeat(33)}":1}`],
  ...['{"__proto__":1}', '{"constructor":1}'],
];
const keys = ["sat", "alt", "bpp", "bat", "vld", "eco", "io", "type", "tlm", "other", "__proto__", "constructor", "1"];
const one = keys.flatMap((key) => values.map((value) => `"${key}":${value}`));

test("F-5.22 F-5.23 F-8.6 what is plain is what the schema lets pass as it is", () => {
  let plain = 0;
  for (const text of [...values, ...one.map((entry) => `{${entry}}`), ...one.map((entry) => `{"sat":9,${entry}}`)]) {
    const exd: unknown = JSON.parse(text);
    if (!isPlainExd(exd)) continue;
    plain++;
    const checked = v.safeParse(Exd, exd);
    expect({ text, ok: checked.success, output: JSON.stringify(checked.output) }).toEqual({
      ...{ text, ok: true, output: JSON.stringify(exd) },
    });
  }
  expect(plain).toBeGreaterThan(40);
  expect(isPlainExd({ sat: 9, alt: 40, bpp: 0, bat: 97.5, eco: { rpm: 750, dcl: "42" }, io: { 1: 1, 2: 0 } })).toBe(
    true,
  );
});
