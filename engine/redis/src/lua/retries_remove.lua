-- KEYS: the owner of a partition. ARGV: the owner it must have, the key prefix of its queues, then
-- channel and delivery of each retry. Returns whether the owner matched.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 3, #ARGV, 2 do
  local queue = ARGV[2] .. ARGV[i]
  redis.call('ZREM', queue .. ':due', ARGV[i + 1])
  redis.call('HDEL', queue .. ':bodies', ARGV[i + 1])
end
return 1
