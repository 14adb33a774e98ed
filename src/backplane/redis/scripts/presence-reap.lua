-- Removes up to `batch` connections of a node whose lease has ended and notes them as announcements the reaper owes,
-- together with those the dead node still owed itself.
-- KEYS: leases; the rest shares its slot. ARGV: base key, node, reaper, batch. A node may reap itself: it gives up.
-- Returns 1 when there is more to do.
local base, node, reaper, batch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local index, owed = base .. 'node:' .. node, base .. 'lost:' .. reaper

local ends = redis.call('ZSCORE', KEYS[1], node)
if not ends or (node ~= reaper and tonumber(ends) >= now()) then return 0 end
-- From here on the node's own next renewal tells it that it has been reaped.
redis.call('ZADD', KEYS[1], -1, node)

for _, reference in ipairs(redis.call('SPOP', index, batch)) do
  local set, member, connection = unpack(cjson.decode(reference))
  local key = base .. 'set:' .. set
  local stored = redis.call('HGET', key, member)
  local list = stored and cjson.decode(stored) or {}
  for place = 1, #list, 3 do
    if list[place] == connection and list[place + 1] == node then
      local data = list[place + 2]
      for _ = 1, 3 do table.remove(list, place) end
      if #list > 0 then
        redis.call('HSET', key, member, cjson.encode(list))
      else
        redis.call('HDEL', key, member)
      end
      local last = #list == 0 and '1' or ''
      redis.call('SADD', owed, cjson.encode({ set, member, connection, node, data, last }))
      break
    end
  end
end

if node ~= reaper then
  for _, announcement in ipairs(redis.call('SPOP', base .. 'lost:' .. node, batch)) do
    redis.call('SADD', owed, announcement)
  end
end
if redis.call('SCARD', index) > 0 then return 1 end
if redis.call('SCARD', base .. 'lost:' .. node) == 0 then
  redis.call('ZREM', KEYS[1], node)
  return 0
end
return node == reaper and 0 or 1
