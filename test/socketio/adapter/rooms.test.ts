import { expect, setDefaultTimeout, test } from "bun:test";
import { type Namespace, Server } from "socket.io";
import { Adapter } from "socket.io-adapter";
import { MemoryBackplane } from "../../../src/backplane/memory.ts";
import { systemClock } from "../../../src/clock.ts";
import { TopicAdapter } from "../../../src/socketio/adapter/topic-adapter.ts";
import { quietLog } from "../../support/quiet-log.ts";
import { Random } from "../../support/random.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const deps = { clock: systemClock, log: quietLog };
const parts = {
  ...deps,
  scope: "test",
  engine: { publish: () => {} },
  backplane: new MemoryBackplane("test", deps),
};

/** An adapter with nobody connected, and the room events it tells. */
function watched<A extends Adapter>(Kind: new (namespace: Namespace) => A): { adapter: A; events: unknown[] } {
  const adapter = new Kind(new Server().of("/"));
  const events: unknown[] = [];
  for (const name of ["create-room", "join-room", "leave-room", "delete-room"]) {
    adapter.on(name, (...args) => events.push([name, ...args]));
  }
  return { adapter, events };
}

const topic = () =>
  watched(
    class extends TopicAdapter {
      constructor(namespace: Namespace) {
        super(namespace, parts);
      }
    },
  );

/** Everything a map of sets holds, in no particular order. */
function contents(map: Map<string, Set<string>>): unknown {
  return [...map].map(([key, values]) => [key, [...values].sort()]).sort();
}

test("rooms, sids and room events are those of socket.io's own adapter", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const own = watched(Adapter);
  const ours = topic();
  const ids = ["a", "b", "c", "d", "e"];
  // Names of sockets are names of rooms as well: anybody may join the room of somebody else's id.
  const names = [...ids, "r", "s", "t"];
  const some = () => new Set([random.pick(names), ...names.filter(() => random.chance(0.2))]);
  for (let step = 0; step < 5_000; step++) {
    const id = random.pick(ids);
    const room = random.pick(names);
    const kind = random.below(10);
    const rooms = kind < 3 ? new Set([id]) : some();
    for (const { adapter } of [own, ours]) {
      if (kind < 5) void adapter.addAll(id, rooms);
      else if (kind < 7) void adapter.del(id, room);
      else if (kind < 8) adapter.delAll(id);
      // Looking must change nothing.
      else adapter.rooms.get(room);
    }
    const context = `seed ${seed}, step ${step}`;
    expect(ours.events.splice(0), context).toEqual(own.events.splice(0));
    expect(contents(ours.adapter.rooms), context).toEqual(contents(own.adapter.rooms));
    expect(contents(ours.adapter.sids), context).toEqual(contents(own.adapter.sids));
    expect(ours.adapter.rooms.size, context).toBe(own.adapter.rooms.size);
    expect(ours.adapter.rooms.has(room), context).toBe(own.adapter.rooms.has(room));
    expect(ours.adapter.rooms.get(room)?.size, context).toBe(own.adapter.rooms.get(room)?.size);
    expect([...(ours.adapter.socketRooms(id) ?? [])].sort(), context).toEqual(
      [...(own.adapter.socketRooms(id) ?? [])].sort(),
    );
  }
});

test("a set that was looked at follows what happens later, as with socket.io", () => {
  const { adapter } = topic();
  adapter.addAll("a", new Set(["a"]));
  const rooms = adapter.socketRooms("a");
  const members = adapter.rooms.get("a");
  adapter.addAll("a", new Set(["r"]));
  adapter.addAll("b", new Set(["b", "a"]));
  expect([...(rooms ?? [])]).toEqual(["a", "r"]);
  expect([...(members ?? [])]).toEqual(["a", "b"]);
});

test("the maps can be read in every way, and not written", () => {
  const { adapter } = topic();
  adapter.addAll("a", new Set(["a", "r"]));
  adapter.addAll("b", new Set(["b"]));
  expect([...adapter.rooms.keys()].sort()).toEqual(["a", "b", "r"]);
  expect([...adapter.sids.keys()]).toEqual(["a", "b"]);
  expect([...adapter.rooms.values()].map((members) => members.size)).toEqual([1, 1, 1]);
  expect([...adapter.sids.entries()]).toEqual([...adapter.sids]);
  const seen: string[] = [];
  adapter.sids.forEach((rooms, id, map) => {
    expect(map).toBe(adapter.sids);
    seen.push(`${id}:${rooms.size}`);
  });
  expect(seen).toEqual(["a:2", "b:1"]);
  expect(() => adapter.rooms.set("x", new Set())).toThrow(TypeError);
  expect(() => adapter.rooms.delete("r")).toThrow(TypeError);
  expect(() => adapter.sids.clear()).toThrow(TypeError);
});
