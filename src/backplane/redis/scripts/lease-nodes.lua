-- The nodes that hold a lease. KEYS: leases.
return redis.call('ZRANGEBYSCORE', KEYS[1], now(), '+inf')
