-- A counter in a window that starts with its first count. KEYS: counter. ARGV: window in ms, by.
-- Returns the count and the milliseconds left.
if tonumber(ARGV[2]) == 0 then
  return { tonumber(redis.call('GET', KEYS[1]) or 0), math.max(0, redis.call('PTTL', KEYS[1])) }
end
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { count, redis.call('PTTL', KEYS[1]) }
