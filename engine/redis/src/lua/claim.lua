-- KEYS: deliveries. ARGV: now, the lease's end, its token, then for each delivery the token of
-- an earlier claim of ours that was never answered, or nothing.
-- Answers each with 'Y' (claimed), 'D' (delivered), or the end of the lease that stands.
local now, ends = tonumber(ARGV[1]), tonumber(ARGV[2])
local lease = ARGV[3] .. ':' .. ARGV[2]
local answers = {}
for i, delivery in ipairs(KEYS) do
  local value = redis.call('GET', delivery)
  local holder, stands
  if value and value ~= 'D' then
    local colon = string.find(value, ':', 1, true)
    holder, stands = string.sub(value, 1, colon - 1), string.sub(value, colon + 1)
  end
  if value == 'D' then
    answers[i] = 'D'
  elseif value and tonumber(stands) > now and holder ~= ARGV[3 + i] then
    answers[i] = stands
  else
    if ends > now then
      redis.call('SET', delivery, lease, 'PX', string.format('%.0f', ends - now))
    end
    answers[i] = 'Y'
  end
end
return answers
