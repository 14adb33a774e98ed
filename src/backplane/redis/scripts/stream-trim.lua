-- Removes what is older than `age` from a stream, then the oldest of what takes more than `bytes`, and the whole stream
-- once no node has come by for `idle`.
-- KEYS: stream. ARGV: age, idle in ms, bytes.
local key, limit = KEYS[1], tonumber(ARGV[3])
redis.call('XTRIM', key, 'MINID', now() - ARGV[1])
-- A server may keep the command from its users: an error is no number.
local bytes = redis.pcall('MEMORY', 'USAGE', key)
if type(bytes) == 'number' and bytes > limit then
  redis.call('XTRIM', key, 'MAXLEN', math.floor(redis.call('XLEN', key) * limit / bytes))
end
redis.call('PEXPIRE', key, ARGV[2])
return 1
