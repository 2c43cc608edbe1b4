-- KEYS: a shelf. ARGV: the token to fill it with, its bytes, how long they are kept.
-- A mark and a drop both take the token away, so it stands only if nothing was written since.
if redis.call('GET', KEYS[1] .. ':fill') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[1] .. ':fill')
return 1
