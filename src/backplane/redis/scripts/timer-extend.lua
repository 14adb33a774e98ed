-- Makes a claim last longer. KEYS: due times, state. ARGV: id, claim, epoch ms it is to end.
if redis.call('HGET', KEYS[2], 'c' .. ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
