#!lua flags=allow-oom
-- A replica refuses it, for it may write.
-- KEYS: shelves. ARGV: a token, how long a fill may take, how many bytes to answer.
-- Answers each with its bytes, or its length once they are too many, -1 to fill it, or -2 to pass
-- it over.
local answers = {}
local room = tonumber(ARGV[3])
local now
for i, shelf in ipairs(KEYS) do
  local length = redis.call('STRLEN', shelf)
  local fits = length <= room
  local bytes = fits and redis.call('GET', shelf)
  if not fits then
    answers[i] = length
  elseif bytes then
    answers[i] = bytes
    room = room - length
  else
    local marked = false
    if redis.call('EXISTS', shelf .. ':marks') == 1 then
      if not now then
        local time = redis.call('TIME')
        now = time[1] * 1000 + math.floor(time[2] / 1000)
      end
      marked = redis.call('ZCOUNT', shelf .. ':marks', '(' .. string.format('%.0f', now), '+inf') > 0
    end
    if not marked and redis.call('SET', shelf .. ':fill', ARGV[1], 'NX', 'PX', ARGV[2]) then
      answers[i] = -1
    else
      answers[i] = -2
    end
  end
end
return answers
