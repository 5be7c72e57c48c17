-- GCRA. KEYS[1]: when all room will be back, microseconds. ARGV: microseconds of one event, and of the whole period.
-- Answers {allowed, events that would be allowed now, microseconds until one is}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local over = full_at + each - now - period
if over > each * 1e-6 + 1 then
  return {0, 0, math.ceil(over)}
end
full_at = full_at + each
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return {1, math.max(0, math.floor((period - (full_at - now)) / each + 1e-6)), 0}
