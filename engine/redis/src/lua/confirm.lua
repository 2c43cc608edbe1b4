-- KEYS: deliveries. ARGV: how long a confirmation is kept, milliseconds.
for _, delivery in ipairs(KEYS) do
  redis.call('SET', delivery, 'D', 'PX', ARGV[1])
end
return #KEYS
