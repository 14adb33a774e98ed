-- Claims timers that are due. KEYS: due times, state of each kind.
-- ARGV: epoch ms, ms a claim lasts, claim, then for each kind how many at most.
-- Returns the milliseconds until the next timer of these kinds is due (-1 for none), then three for each claimed timer:
-- number of the kind, id, payload. For the state see timer-set.lua.
local time, ends, claim = tonumber(ARGV[1]), ARGV[1] + ARGV[2], ARGV[3]
local answer = { -1 }

for kind = 1, #KEYS / 2 do
  local due, state = KEYS[kind * 2 - 1], KEYS[kind * 2]
  local limit = tonumber(ARGV[3 + kind])
  if limit > 0 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', time, 'LIMIT', 0, limit)) do
      -- Set only while a node fires it, and a claim that is due has ended: that node died over it, and what was asked
      -- for since takes the place of trying again.
      local next = redis.call('HGET', state, 'n' .. id)
      if next then redis.call('HDEL', state, 'n' .. id, 'c' .. id) end
      if next == '' then
        redis.call('ZREM', due, id)
        redis.call('HDEL', state, 'p' .. id)
      elseif next and tonumber(next) > time then
        redis.call('ZADD', due, next, id)
      else
        redis.call('ZADD', due, ends, id)
        redis.call('HSET', state, 'c' .. id, claim)
        answer[#answer + 1] = kind
        answer[#answer + 1] = id
        answer[#answer + 1] = redis.call('HGET', state, 'p' .. id) or ''
      end
    end
    local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
    if first[2] then
      local wait = math.max(0, math.ceil(first[2] - time))
      if answer[1] < 0 or wait < answer[1] then answer[1] = wait end
    end
  end
end
return answer
