-- KEYS: the owner of a partition, its channels. ARGV: the worker that rebuilds it, the key prefix of
-- its queues. Deletes the queues.
for _, channel in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local queue = ARGV[2] .. channel
  redis.call('UNLINK', queue .. ':due', queue .. ':bodies')
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1])
return 1
