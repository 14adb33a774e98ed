-- KEYS: stream. Returns the time of the server that holds it in ms, and the id of its last entry ('0-0' without one).
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return { now(), last and last[1] or '0-0' }
