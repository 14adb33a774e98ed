-- Ends a claim. KEYS: due times, state. ARGV: id, claim, epoch ms to try it again ('' when it is done).
-- For the state see timer-set.lua.
local id = ARGV[1]
if redis.call('HGET', KEYS[2], 'c' .. id) ~= ARGV[2] then return 0 end
local next = redis.call('HGET', KEYS[2], 'n' .. id) or ARGV[3]
redis.call('HDEL', KEYS[2], 'c' .. id, 'n' .. id)
if next ~= '' then
  redis.call('ZADD', KEYS[1], next, id)
else
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], 'p' .. id)
end
return 1
