-- KEYS: the owner of a partition. ARGV: the worker that rebuilds it, the owner from now on. Returns
-- whether that worker still was the one that rebuilds it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
