-- Removes what is older than `age` from a stream, and the whole stream once no node has come by for `idle`.
-- KEYS: stream. ARGV: age, idle in ms.
redis.call('XTRIM', KEYS[1], 'MINID', now() - ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
