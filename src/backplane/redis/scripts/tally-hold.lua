-- Holds one of a limited number of places. KEYS: places, a sorted set by the time each ends.
-- ARGV: item, limit, ttl in ms. Returns 1, or 0 when all places are taken.
local time = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time)
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not held and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], time + ARGV[3], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], last[2])
return 1
