import type { Clock } from "../../clock.ts";
import type { Records } from "../backplane.ts";
import { ExpiringMap } from "./expiring.ts";

type Fields = Record<string, string>;

/** Records of a lone node; they end with the process. */
export class MemoryRecords implements Records {
  readonly #clock: Clock;
  readonly #records: ExpiringMap<Map<string, string>>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#records = new ExpiringMap(clock);
  }

  async create(key: string, fields: Fields, ttl: number): Promise<boolean> {
    if (this.#records.get(key) !== undefined) return false;
    await this.put(key, fields, ttl);
    return true;
  }

  async update(key: string, fields: Record<string, string | null>, expect: Fields = {}): Promise<boolean> {
    const record = this.#records.get(key);
    if (record === undefined) return false;
    for (const [field, value] of Object.entries(expect)) if (record.get(field) !== value) return false;
    for (const [field, value] of Object.entries(fields)) {
      if (value === null) record.delete(field);
      else record.set(field, value);
    }
    return true;
  }

  async put(key: string, fields: Fields, ttl: number): Promise<void> {
    this.#records.set(key, new Map(Object.entries(fields)), this.#clock.elapsed() + ttl);
  }

  async read(key: string): Promise<Fields | null> {
    const record = this.#records.get(key);
    return record === undefined ? null : Object.fromEntries(record);
  }

  async take(key: string): Promise<Fields | null> {
    const record = this.#records.get(key);
    this.#records.delete(key);
    return record === undefined ? null : Object.fromEntries(record);
  }

  async remove(key: string): Promise<boolean> {
    return this.#records.delete(key);
  }
}
