-- KEYS: cache entries. ARGV: for each the token of the mark to remove.
-- Returns for each whether that mark still existed and had not expired.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local existed = {}
for i, entry in ipairs(KEYS) do
  redis.call('UNLINK', entry, entry .. ':fill')
  local ends = redis.call('ZSCORE', entry .. ':marks', ARGV[i])
  existed[i] = (ends and tonumber(ends) > now) and 1 or 0
  redis.call('ZREM', entry .. ':marks', ARGV[i])
end
return existed
