-- Adds and removes connections of one node.
-- KEYS: leases; the rest shares its slot. ARGV: base key, node, lease in ms, then six for each change:
--   'join' | 'leave', set, member, connection, data, limit (-1 for none).
-- Returns whether the node's lease was held (1, 0), then three for each change:
--   whether it was done (1, 0), the member's connections before, and after.
--
-- A set is a hash: member -> JSON [connection, node, data, connection, node, data, ...].
-- A node's index is a set of JSON [set, member, connection]: what to remove when the node dies.
local base, node = ARGV[1], ARGV[2]

local ends = redis.call('ZSCORE', KEYS[1], node)
local held = ends and tonumber(ends) >= 0
-- Without a lease nobody would ever clean up what is added here.
if not held then redis.call('ZADD', KEYS[1], now() + ARGV[3], node) end
local answer = { held and 1 or 0 }

for at = 4, #ARGV, 6 do
  local verb, set, member, connection, data, limit = unpack(ARGV, at, at + 5)
  local key = base .. 'set:' .. set
  local reference = cjson.encode({ set, member, connection })
  local stored = redis.call('HGET', key, member)
  local list = stored and cjson.decode(stored) or {}
  local before = #list / 3
  local place = nil
  for index = 1, #list, 3 do
    if list[index] == connection then place = index end
  end

  local done = false
  if verb == 'join' then
    if place then
      if list[place + 1] ~= node then redis.call('SREM', base .. 'node:' .. list[place + 1], reference) end
      done = true
    elseif tonumber(limit) < 0 or before < tonumber(limit) then
      place = #list + 1
      done = true
    end
    if done then
      list[place], list[place + 1], list[place + 2] = connection, node, data
      redis.call('SADD', base .. 'node:' .. node, reference)
    end
  else
    redis.call('SREM', base .. 'node:' .. node, reference)
    if place and list[place + 1] == node then
      for _ = 1, 3 do table.remove(list, place) end
      done = true
    end
  end

  if done and #list > 0 then
    redis.call('HSET', key, member, cjson.encode(list))
  elseif done then
    redis.call('HDEL', key, member)
  end
  answer[#answer + 1] = done and 1 or 0
  answer[#answer + 1] = before
  answer[#answer + 1] = #list / 3
end
return answer
