-- KEYS: cache entries. ARGV: the token of the mark, its time to live (milliseconds).
-- Deletes content and fill lease; no fill begins while a mark exists.
for _, entry in ipairs(KEYS) do
  redis.call('UNLINK', entry, entry .. ':fill')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = string.format('%.0f', now + ARGV[2])
for _, entry in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', entry .. ':marks', '-inf', string.format('%.0f', now))
  redis.call('ZADD', entry .. ':marks', ends, ARGV[1])
  redis.call('PEXPIRE', entry .. ':marks', ARGV[2])
end
return #KEYS
