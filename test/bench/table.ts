import type { Table } from "./scenario.ts";

/** A table as lines of text, names to the left and numbers to the right, and below it why a server dropped out. */
export function printed(table: Table): string {
  const rows = [
    ["server", ...table.columns.map((column) => column.title)],
    ...table.results.map((result) => [
      result.name,
      ...table.columns.map((column) => column.cell(result, table.results)),
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  "),
  );
  const failures = table.results.flatMap(({ name, failure }) => (failure === null ? [] : [`${name}: ${failure}`]));
  return [table.title, ...lines, ...failures].join("\n");
}
