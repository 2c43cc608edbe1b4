-- KEYS: the owners of partitions. ARGV: the channel, now, until, the most retries to take, then for
-- each partition the owner it must have and the key prefix of its queues.
-- Returns which partitions have another owner or are incomplete, then due time and body of each
-- retry that is due, in the order of due times. The retries become due again at `until`.
local most = tonumber(ARGV[4])
local lost, due = {}, {}
for i, owner in ipairs(KEYS) do
  local queue = ARGV[4 + 2 * i] .. ARGV[1]
  if redis.call('GET', owner) ~= ARGV[3 + 2 * i]
    or redis.call('ZCARD', queue .. ':due') ~= redis.call('HLEN', queue .. ':bodies') then
    lost[#lost + 1] = i
  else
    local found = redis.call('ZRANGEBYSCORE', queue .. ':due', '-inf', ARGV[2], 'WITHSCORES', 'LIMIT', 0, most)
    for at = 1, #found, 2 do
      due[#due + 1] = { delivery = found[at], at = found[at + 1], queue = queue }
    end
  end
end
table.sort(due, function(a, b)
  if a.at == b.at then
    return a.delivery < b.delivery
  end
  return tonumber(a.at) < tonumber(b.at)
end)
local taken = {}
for i = 1, math.min(most, #due) do
  local retry = due[i]
  local body = redis.call('HGET', retry.queue .. ':bodies', retry.delivery)
  redis.call('ZADD', retry.queue .. ':due', ARGV[3], retry.delivery)
  taken[i] = { retry.at, body }
end
return { lost, taken }
