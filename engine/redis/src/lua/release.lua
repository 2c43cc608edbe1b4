-- KEYS: deliveries. ARGV: for each the token of our lease. Deletes the leases that are still ours.
local released = 0
for i, delivery in ipairs(KEYS) do
  local value = redis.call('GET', delivery)
  if value and string.sub(value, 1, #ARGV[i] + 1) == ARGV[i] .. ':' then
    released = released + redis.call('DEL', delivery)
  end
end
return released
