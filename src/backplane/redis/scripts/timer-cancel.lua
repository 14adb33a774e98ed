-- KEYS: due times, state. ARGV: id. Returns 1 when a firing was prevented. For the state see timer-set.lua.
local id = ARGV[1]
if redis.call('HEXISTS', KEYS[2], 'c' .. id) == 1 then
  local next = redis.call('HGET', KEYS[2], 'n' .. id)
  redis.call('HSET', KEYS[2], 'n' .. id, '')
  return (next and next ~= '') and 1 or 0
end
redis.call('HDEL', KEYS[2], 'p' .. id)
return redis.call('ZREM', KEYS[1], id)
