-- Renews a node's lease and looks around.
-- KEYS: leases, announcements this node owes. ARGV: node, lease in ms.
-- Returns: whether the lease was still held (1, 0), how many announcements are owed, the nodes whose lease has ended.
local time = now()
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], time + ARGV[2], ARGV[1])
return {
  (ends and tonumber(ends) >= 0) and 1 or 0, -- below 0 it is being reaped
  redis.call('SCARD', KEYS[2]),
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', time - 1, 'LIMIT', 0, 16),
}
