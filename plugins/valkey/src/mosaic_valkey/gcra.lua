-- GCRA for several keys at once: each counts one event, or none does if one of them is refused.
-- KEYS: when all room of each will be back, microseconds. ARGV: for each key the microseconds of one event, and of
-- the whole period. Answers for each key: microseconds until an event is allowed (0: now), events allowed after this.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at, waits, allowed = {}, {}, true
for i, kept in ipairs(redis.call('MGET', unpack(KEYS))) do
  local each, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  full_at[i] = math.max(tonumber(kept or 0), now)
  local over = full_at[i] + each - now - period
  waits[i] = over > each * 1e-6 + 1 and math.ceil(over) or 0
  allowed = allowed and waits[i] == 0
end
local answers = {}
for i, key in ipairs(KEYS) do
  local each, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if allowed then
    full_at[i] = full_at[i] + each
    redis.call('SET', key, string.format('%.0f', full_at[i]), 'PX', math.ceil((full_at[i] - now) / 1000))
  end
  answers[2 * i - 1] = waits[i]
  answers[2 * i] = math.max(0, math.floor((period - (full_at[i] - now)) / each + 1e-6))
end
return answers
