-- KEYS: shelves. ARGV: the mark's token, how long it stands.
-- Takes away what is stored and who is filling; no fill begins while a mark stands.
for _, shelf in ipairs(KEYS) do
  redis.call('UNLINK', shelf, shelf .. ':fill')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = string.format('%.0f', now + ARGV[2])
for _, shelf in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', shelf .. ':marks', '-inf', string.format('%.0f', now))
  redis.call('ZADD', shelf .. ':marks', ends, ARGV[1])
  redis.call('PEXPIRE', shelf .. ':marks', ARGV[2])
end
return #KEYS
