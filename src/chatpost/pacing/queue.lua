-- A space's queue in Redis: the arithmetic of queue.py; tests/test_pacing.py compares both.
--
-- KEYS: the gate, a hash with the fields of queue.Queue; the waiting places, sorted by ticket; the same places, sorted
-- by the time at which they expire. A place is TICKET:INTERVAL.
-- ARGV: the step, the time ('' for Redis's own), the ticket, the interval, the step's seconds; then queue.CONSTANTS.

local gate, waiting, expiring = KEYS[1], KEYS[2], KEYS[3]
local step, given_time = ARGV[1], ARGV[2]
local ticket, interval, seconds = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local SLACK, LONGEST_CLOSURE, SHORT_SLEEP, LONGEST_SLEEP = unpack(ARGV, 6, 9)
local SHORTEST_SLEEP, LEASE = unpack(ARGV, 10, 11)

local function exact(number)
  return string.format('%.17g', number)
end

local now = tonumber(given_time)
if not now then
  local answer = redis.call('TIME')
  now = tonumber(answer[1]) + tonumber(answer[2]) / 1e6
end

redis.call('HSETNX', gate, 'tickets', 0) -- a full Redis rejects this before any change
local fields = redis.call('HMGET', gate, 'sent_at', 'sent_before', 'closed_until', 'sender', 'sender_until', 'tickets')
-- The clock may be set back, and another Redis may take over: limit times to those that this clock can have written.
local queue = {
  sent_at = math.min(tonumber(fields[1]) or -1e9, now),
  sent_before = math.min(tonumber(fields[2]) or -1e9, now),
  closed_until = math.min(tonumber(fields[3]) or 0, now + LONGEST_CLOSURE),
  sender = tonumber(fields[4]) or 0,
  sender_until = math.min(tonumber(fields[5]) or 0, now + LONGEST_SLEEP + LEASE),
  tickets = tonumber(fields[6]) or 0,
}

if step == 'poll' and ticket == 0 then
  ticket = queue.tickets + 1
end
local place = string.format('%.0f:%s', ticket, ARGV[4])
local reply = {}

local function remove(any_place)
  redis.call('ZREM', waiting, any_place)
  redis.call('ZREM', expiring, any_place)
end

if step == 'poll' then
  queue.tickets = math.max(queue.tickets, ticket)
  remove(place)
  local latest = exact(now + LONGEST_SLEEP + LEASE)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', expiring, '(' .. latest, '+inf')) do
    redis.call('ZADD', expiring, latest, other)
  end
  for _, expired in ipairs(redis.call('ZRANGEBYSCORE', expiring, '-inf', exact(now))) do
    remove(expired)
  end
  local first, sum = nil, 0
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', '(' .. exact(ticket))) do
    local its = tonumber(string.match(other, ':(.*)'))
    first = first or its
    sum = sum + its
  end
  first = first or interval
  local opens = math.max(queue.closed_until, queue.sent_at + first - SLACK)
  local turn_in = math.max(0, opens - now) + sum + interval - first
  local is_sending = queue.sender ~= 0 and queue.sender ~= ticket and queue.sender_until > now
  local sleep = 0
  if turn_in > 0 or is_sending then
    sleep = math.min(turn_in, math.max(SHORT_SLEEP, math.min(turn_in / 10, LONGEST_SLEEP)))
    if sleep == 0 then
      sleep = tonumber(SHORTEST_SLEEP)
    end
    if math.max(sleep, turn_in) <= seconds then
      redis.call('ZADD', waiting, exact(ticket), place)
      redis.call('ZADD', expiring, exact(now + sleep + LEASE), place)
    elseif queue.sender == ticket then
      queue.sender, queue.sent_at = 0, queue.sent_before
    end
  else
    queue.sent_before, queue.sent_at = queue.sent_at, now
    queue.sender, queue.sender_until = ticket, now + LEASE
  end
  reply = { exact(ticket), exact(sleep), exact(turn_in) }
elseif step == 'sent' then
  if queue.sender == ticket then
    queue.sender = 0
  else
    queue.sent_before = now
  end
  queue.sent_at = now
elseif step == 'leave' then
  remove(place)
  if queue.sender == ticket then
    queue.sender, queue.sent_at = 0, queue.sent_before
  end
elseif step == 'close_for' then
  queue.closed_until = math.max(queue.closed_until, now + math.min(seconds, LONGEST_CLOSURE))
end

for name, number in pairs(queue) do
  redis.call('HSET', gate, name, exact(number))
end
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, math.ceil(2 * math.max(LONGEST_CLOSURE, interval)))
end
return reply
