-- A token bucket. KEYS: bucket. ARGV: rate per second, burst, cost.
-- Returns 1 or 0, and the milliseconds until the cost is there.
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = now()
local stored = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if stored[1] then
  -- The clock of the store may step back; time that goes backwards must not empty a bucket.
  local passed = math.max(0, time - stored[2])
  tokens = math.min(burst, stored[1] + passed / 1000 * rate)
end
local allowed, wait = 0, 0
-- Refilling adds fractions; a bucket that is short of a token by rounding alone must not refuse it.
if tokens + 1e-6 >= cost then
  allowed = 1
  tokens = math.max(0, tokens - cost)
else
  wait = math.ceil((cost - tokens) / rate * 1000)
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens), 'at', time)
-- A full bucket is as good as none.
redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil((burst - tokens) / rate * 1000)))
return { allowed, wait }
