-- KEYS: due times, state. ARGV: id, epoch ms, payload.
--
-- The due times are a sorted set of ids. The state is a hash: p<id> the payload, c<id> the claim of the node that fires
-- it, n<id> what was asked for while it fires: the next time, or '' when it is not to be tried again. While a timer is
-- claimed its due time is when the claim ends.
redis.call('HSET', KEYS[2], 'p' .. ARGV[1], ARGV[3])
if redis.call('HEXISTS', KEYS[2], 'c' .. ARGV[1]) == 1 then
  redis.call('HSET', KEYS[2], 'n' .. ARGV[1], ARGV[2])
else
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
end
return 1
