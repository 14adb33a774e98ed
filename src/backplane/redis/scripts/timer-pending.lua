-- KEYS: due times, state. ARGV: ids. Returns 1 for each that is still to fire, else 0. For the state see timer-set.lua.
local answer = {}
for index, id in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[2], 'c' .. id) == 1 then
    local next = redis.call('HGET', KEYS[2], 'n' .. id)
    answer[index] = (next and next ~= '') and 1 or 0
  else
    answer[index] = redis.call('HEXISTS', KEYS[2], 'p' .. id)
  end
end
return answer
