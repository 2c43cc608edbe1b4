-- KEYS: a shelf. ARGV: the token to fill it with, its bytes, how long they are kept, how long a fill
-- may take. Answers whether it was stored.
-- A mark and a drop both take the token away, so it stands only if nothing was written since. The
-- bytes are as old as the token: their time to live began with it.
local fill = KEYS[1] .. ':fill'
if redis.call('GET', fill) ~= ARGV[1] then
  return 0
end
local age = ARGV[4] - redis.call('PTTL', fill)
redis.call('DEL', fill)
if age >= tonumber(ARGV[3]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', ARGV[3] - age))
return 1
