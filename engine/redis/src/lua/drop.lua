-- KEYS: shelves. ARGV: for each the token of the mark to take away.
-- Answers for each whether that mark still stood.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stood = {}
for i, shelf in ipairs(KEYS) do
  redis.call('UNLINK', shelf, shelf .. ':fill')
  local ends = redis.call('ZSCORE', shelf .. ':marks', ARGV[i])
  stood[i] = (ends and tonumber(ends) > now) and 1 or 0
  redis.call('ZREM', shelf .. ':marks', ARGV[i])
end
return stood
