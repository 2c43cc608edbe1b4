-- KEYS: deliveries. ARGV: how long it is remembered that they were made.
for _, delivery in ipairs(KEYS) do
  redis.call('SET', delivery, 'D', 'PX', ARGV[1])
end
return #KEYS
