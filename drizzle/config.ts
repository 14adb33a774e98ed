import { defineConfig } from "drizzle-kit";

/** `bun run migrations`: compares every tables.ts with the last snapshot and writes the difference as SQL. */
export default defineConfig({
  dialect: "postgresql",
  schema: "./src/**/tables.ts",
  out: "./drizzle",
});
