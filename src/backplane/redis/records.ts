import * as v from "valibot";
import type { Records } from "../backplane.ts";
import type { Connection } from "./connection.ts";
import { scripts } from "./scripts.ts";

type Fields = Record<string, string>;

/** A field of every record, since Redis cannot keep a hash that has none. Callers never see it. */
const mark = "";

const Pairs = v.array(v.string());

/** Records as hashes with an expiry; they end by the clock of the store. */
export class RedisRecords implements Records {
  readonly #connection: Connection;
  readonly #prefix: string;

  constructor(connection: Connection, { keyPrefix }: { keyPrefix: string }) {
    this.#connection = connection;
    this.#prefix = `${keyPrefix}record:`;
  }

  async create(key: string, fields: Fields, ttl: number): Promise<boolean> {
    return (await this.#connection.eval(scripts.recordCreate, [this.#key(key)], written(fields, ttl))) === 1;
  }

  async update(key: string, fields: Record<string, string | null>, expect: Fields = {}): Promise<boolean> {
    const entries = Object.entries(fields);
    const set = entries.filter((entry): entry is [string, string] => entry[1] !== null);
    const removed = entries.flatMap(([field, value]) => (value === null ? [field] : []));
    const expected = Object.entries(expect);
    const changes = [expected.length, set.length, ...expected.flat(), ...set.flat(), ...removed];
    return (await this.#connection.eval(scripts.recordUpdate, [this.#key(key)], changes)) === 1;
  }

  async put(key: string, fields: Fields, ttl: number): Promise<void> {
    await this.#connection.eval(scripts.recordPut, [this.#key(key)], written(fields, ttl));
  }

  async read(key: string): Promise<Fields | null> {
    return fieldsOf(Object.entries(await this.#connection.run((client) => client.hgetall(this.#key(key)))));
  }

  async take(key: string): Promise<Fields | null> {
    const pairs = v.parse(Pairs, await this.#connection.eval(scripts.recordTake, [this.#key(key)], []));
    return fieldsOf(pairs.flatMap((field, index) => (index % 2 === 0 ? [[field, pairs[index + 1]!]] : [])));
  }

  async remove(key: string): Promise<boolean> {
    return (await this.#connection.run((client) => client.unlink(this.#key(key)))) === 1;
  }

  #key(key: string): string {
    return this.#prefix + key;
  }
}

function written(fields: Fields, ttl: number): (string | number)[] {
  return [Math.ceil(ttl), mark, "", ...Object.entries(fields).flat()];
}

function fieldsOf(entries: readonly (readonly string[])[]): Fields | null {
  if (entries.length === 0) return null;
  return Object.fromEntries(entries.filter(([field]) => field !== mark).map(([field, value]) => [field!, value!]));
}
