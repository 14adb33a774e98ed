-- KEYS: record. ARGV: count of expected fields, count of fields to set, then the expected as field, value, ..., those to
-- set as field, value, ..., and those to remove. Returns 0 when there is no record or something else than expected.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local at = 3
for _ = 1, ARGV[1] do
  if redis.call('HGET', KEYS[1], ARGV[at]) ~= ARGV[at + 1] then return 0 end
  at = at + 2
end
for _ = 1, ARGV[2] do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for index = at, #ARGV do redis.call('HDEL', KEYS[1], ARGV[index]) end
return 1
