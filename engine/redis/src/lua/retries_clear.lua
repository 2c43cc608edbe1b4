-- KEYS: a partition's owner, its channels. ARGV: who rebuilds it, what its queues begin with.
for _, channel in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local queue = ARGV[2] .. channel
  redis.call('UNLINK', queue .. ':due', queue .. ':bodies')
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1])
return 1
