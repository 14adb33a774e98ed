-- KEYS: record. Returns its fields as field, value, ... and removes it.
local fields = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
return fields
