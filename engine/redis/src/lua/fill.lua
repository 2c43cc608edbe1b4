-- KEYS: a cache entry. ARGV: the fill lease, the content, its time to live, the time to live of a
-- fill lease (milliseconds). Returns whether the content was stored.
-- The begin and the end of an invalidation both delete the fill lease, so it exists only if nothing
-- was written since. The content is as old as the lease: its time to live began with it.
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
