import { describe, expect, test } from "bun:test";
import { safeParse } from "valibot";
import { describeSettings, settingsMarkdown } from "../../src/config/describe.ts";
import { gatewaySection } from "../../src/config/gateway.ts";
import { loadSettings } from "../../src/config/load.ts";
import { integer, keptSecret, section, settingNames, signingSecret, variable } from "../../src/config/setting.ts";
import { protocols } from "../../src/protocols/index.ts";

const sections = [gatewaySection, ...protocols.map((protocol) => protocol.settings)];

describe("the sections of this gateway", () => {
  test("no variable belongs to two of them", () => {
    const names = sections.flatMap(settingNames);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  test.each(protocols.map((protocol) => [protocol.name, protocol] as const))(
    "%s has its name as prefix",
    (name, { settings }) => {
      expect(settings.prefix).toBe(name.toUpperCase());
    },
  );

  const settings = sections.flatMap(({ prefix, settings }) =>
    Object.entries(settings).map(([key, setting]) => [variable(prefix, key), setting] as const),
  );
  test.each(settings)(
    "%s has a default that fits and a meaning that is a sentence",
    (_name, { fallback, schema, meaning }) => {
      if (fallback !== null) expect(safeParse(schema, fallback).success).toBe(true);
      expect(meaning).toMatch(/^\S.*\.$/s);
    },
  );

  test.each(settings)("%s names only variables that exist", (_name, { inherits, generated }) => {
    const names = settings.map(([name]) => name);
    for (const other of [inherits, generated?.unless?.split("=")[0]]) {
      if (other !== undefined) expect(names).toContain(other);
    }
  });

  test("their defaults make a gateway outside production", () => {
    const settings = loadSettings(protocols, {}, { keep: false });
    for (const protocol of protocols) expect(settings.serves(protocol.name)).toBe(true);
  });
});

describe("the table", () => {
  const groups = describeSettings([
    {
      name: "alpha",
      settings: section("ALPHA", {
        size: integer(5, "Either a|b."),
        secret: signingSecret("Own."),
        jwtSecret: signingSecret("Shared.", { inherits: "JWT_SECRET" }),
        adminToken: keptSecret("Admin."),
      }),
    },
  ]);

  test("says in words where a value comes from", () => {
    expect(settingsMarkdown(groups.slice(1))).toBe(
      [
        "**alpha**",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
        "| `ALPHA_SIZE` | 5 | Either a\\|b. |",
        "| `ALPHA_SECRET` | required in production, else made at the first start | Own. |",
        "| `ALPHA_JWT_SECRET` | that of JWT_SECRET | Shared. |",
        "| `ALPHA_ADMIN_TOKEN` | made at the first start | Admin. |",
      ].join("\n"),
    );
  });
});
