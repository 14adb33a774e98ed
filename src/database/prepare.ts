/**
 * Makes the data folder that embedded.ts unpacks on first use: `bun src/database/prepare.ts`, once for each new version
 * of PGlite, whose number the file bears. It is kept in the repository (1 MB) because a fresh clone needs it as much as
 * the executable does, and because an install step that makes it would cost everybody a gigabyte of memory.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { $, Glob } from "bun";

const installed = await Bun.file(
  new URL("../../node_modules/@electric-sql/pglite/package.json", import.meta.url),
).json();
const folder = await mkdtemp(join(tmpdir(), "prepared-"));
try {
  // Log files of 4 MB instead of 16: there are always two of them.
  const database = await PGlite.create({ dataDir: folder, initDbStartParams: ["--wal-segsize=4"] });
  // Nobody will connect to the other two databases, so nothing would ever vacuum them, and one that was not vacuumed for
  // two billion transactions stops the whole server.
  await database.exec("update pg_database set datistemplate = false");
  for (const template of ["template0", "template1"]) await database.exec(`drop database ${template}`);
  await database.exec("vacuum (freeze, analyze)");
  // Leaves the log of all this behind, so that it is not packed as well.
  await database.exec("checkpoint; select pg_switch_wal(); checkpoint;");
  // Closed properly, so that its first start has nothing to recover.
  await database.close();
  const tar = await $`tar --sort=name --owner=0 --group=0 --mtime=@0 --mode=u=rwX,go= -C ${folder} -c .`.arrayBuffer();
  for (const old of new Glob("pglite-*.tar.zst").scanSync(import.meta.dir)) await rm(join(import.meta.dir, old));
  const file = join(import.meta.dir, `pglite-${installed.version}.tar.zst`);
  await Bun.write(file, await Bun.zstdCompress(tar, { level: 22 }));
} finally {
  await rm(folder, { recursive: true });
}
