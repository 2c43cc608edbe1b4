#!lua flags=allow-oom
-- A replica refuses this script, because it may write.
-- KEYS: cache entries. ARGV: a new fill lease, its time to live (milliseconds), the most bytes to
-- return.
-- Returns for each its content; or its length if the answer would become too long; or -1 if the
-- caller now has the fill lease; or -2 if the entry is being written or another reader fills it.
local answers = {}
local room = tonumber(ARGV[3])
local now
for i, entry in ipairs(KEYS) do
  local length = redis.call('STRLEN', entry)
  local fits = length <= room
  local bytes = fits and redis.call('GET', entry)
  if not fits then
    answers[i] = length
  elseif bytes then
    answers[i] = bytes
    room = room - length
  else
    local marked = false
    if redis.call('EXISTS', entry .. ':marks') == 1 then
      if not now then
        local time = redis.call('TIME')
        now = time[1] * 1000 + math.floor(time[2] / 1000)
      end
      marked = redis.call('ZCOUNT', entry .. ':marks', '(' .. string.format('%.0f', now), '+inf') > 0
    end
    if not marked and redis.call('SET', entry .. ':fill', ARGV[1], 'NX', 'PX', ARGV[2]) then
      answers[i] = -1
    else
      answers[i] = -2
    end
  end
end
return answers
