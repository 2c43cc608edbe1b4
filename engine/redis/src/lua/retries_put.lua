-- KEYS: the owner of a partition, its channels. ARGV: the owner it must have, the key prefix of its
-- queues, then channel, delivery, due time and body of each retry. Returns whether the owner matched.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 3, #ARGV, 4 do
  local queue = ARGV[2] .. ARGV[i]
  redis.call('SADD', KEYS[2], ARGV[i])
  redis.call('ZADD', queue .. ':due', ARGV[i + 2], ARGV[i + 1])
  redis.call('HSET', queue .. ':bodies', ARGV[i + 1], ARGV[i + 3])
end
return 1
