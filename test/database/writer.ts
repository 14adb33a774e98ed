/**
 * A program for tests, run from source or as an executable: opens the embedded database in the folder it is given,
 * migrates it, then inserts rows one by one and writes the number of each confirmed one to its output, until it is killed
 * or has written as many as its second argument says.
 */
import { sql } from "drizzle-orm";
import { migrate } from "../../src/database/migrate.ts";
import { openDatabase } from "../../src/database/open.ts";
import { quietLog } from "../support/quiet-log.ts";

const [dataDir = "", count = "1000000000"] = process.argv.slice(2);
const database = await openDatabase({ dataDir }, { log: quietLog });
await migrate(database, quietLog);
await database.orm.execute(sql`create table if not exists confirmed (number int primary key)`);
const [last] = await database.orm.execute<{ number: number }>(sql`select max(number) as number from confirmed`);
const first = (last?.number ?? 0) + 1;
for (let number = first; number < first + Number(count); number++) {
  await database.orm.execute(sql`insert into confirmed values (${number})`);
  process.stdout.write(`${number}\n`);
}
await database.close();
