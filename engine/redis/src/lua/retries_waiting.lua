-- KEYS: owner and channels of each partition. ARGV: for each the owner it must have and the key
-- prefix of its queues. Returns which partitions have another owner or are incomplete, then the
-- number of retries by channel.
local lost, waiting = {}, {}
for i = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[i]) ~= ARGV[i] then
    lost[#lost + 1] = (i + 1) / 2
  else
    for _, channel in ipairs(redis.call('SMEMBERS', KEYS[i + 1])) do
      waiting[#waiting + 1] = { channel, redis.call('ZCARD', ARGV[i + 1] .. channel .. ':due') }
    end
  end
end
return { lost, waiting }
