-- The time of the store in milliseconds since the epoch. It stands in front of the scripts that need it.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

