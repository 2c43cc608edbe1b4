-- KEYS: a partition's owner. ARGV: who rebuilds it, whose it is from now on. Answers whether it is.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
