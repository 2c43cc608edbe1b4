-- KEYS: deliveries. ARGV: now, the end of the new leases, their token, then for each delivery the
-- token of an earlier claim of ours that was not answered, or an empty string.
-- Returns for each 'Y' (leased), 'D' (delivered), or the end of the lease that another worker has.
local now, ends = tonumber(ARGV[1]), tonumber(ARGV[2])
local lease = ARGV[3] .. ':' .. ARGV[2]
local answers = {}
for i, delivery in ipairs(KEYS) do
  local value = redis.call('GET', delivery)
  local holder, held_until
  if value and value ~= 'D' then
    local colon = string.find(value, ':', 1, true)
    holder, held_until = string.sub(value, 1, colon - 1), string.sub(value, colon + 1)
  end
  if value == 'D' then
    answers[i] = 'D'
  elseif value and tonumber(held_until) > now and holder ~= ARGV[3 + i] then
    answers[i] = held_until
  else
    if ends > now then
      redis.call('SET', delivery, lease, 'PX', string.format('%.0f', ends - now))
    end
    answers[i] = 'Y'
  end
end
return answers
