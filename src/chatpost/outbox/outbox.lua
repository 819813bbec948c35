-- The outbox in Redis: each step of redis_outbox.py, all at once.
--
-- KEYS: the beginning of all keys; they share its tag, so that they are on the same server of a cluster.
-- ARGV: the step, and its arguments as JSON.
--
-- message:ID       hash: a message, as outbox_file.py's columns. A field that is missing is NULL.
-- all              sorted set: the ids of all messages that are not posted
-- sizes            hash: their bytes, by their ids
-- bytes, last      the sum of these; the last id
-- posted           set: the ids of posted messages whose senders wait for their answers
-- digest:ID        set: the ids of the messages sealed into a digest
-- line:HASH        sorted set: the ids of the messages that wait in a thread
-- lines:PLACE      set: the lines of a space, given by its hash
-- until:PLACE      sorted set: the ids of messages that wait, by the times at which they expire
-- untold:PLACE     set: the ids of expired messages that the space has not been told of
-- lease:PLACE      the name of the process that posts to a space now
-- places           set: the spaces in which messages wait
-- rest:FINGERPRINT hash: the failures of a webhook, and the time until which sends leave it alone

local DAY = 86400
local INDEX_DAYS = 400 -- longer than any message stays; the sets of an outbox that is used start again
local LISTED_DAYS = 30 -- for which an expired message is listed

local step, given = ARGV[1], cjson.decode(ARGV[2])
local call = redis.call
local clock = call('TIME')
-- The clocks of the machines differ, so all times here are Redis's own; a message keeps the one at which it was written.
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local function key(...)
  return KEYS[1] .. table.concat({ ... }, ':')
end

local function message(id)
  return key('message', id)
end

local function fields(id, ...)
  return unpack(call('HMGET', message(id), ...))
end

local function touch(name)
  call('EXPIRE', name, INDEX_DAYS * DAY)
end

local function place_of(space)
  return redis.sha1hex(space)
end

-- Change a message; Redis can have thrown it away meanwhile.
local function set(id, ...)
  if call('EXISTS', message(id)) == 1 then
    call('HSET', message(id), ...)
  end
end

-- Put a message where its state says it belongs.
local function index(id)
  local space, fingerprint, thread, state, digest, keep_until, line =
    fields(id, 'space', 'fingerprint', 'thread', 'state', 'digest', 'keep_until', 'line')
  if not space then
    return
  end
  local place = place_of(space)
  local now_in = redis.sha1hex(place .. ' ' .. fingerprint .. ' ' .. thread)
  if line and line ~= now_in then
    call('ZREM', key('line', line), id)
  end
  call('HSET', message(id), 'line', now_in, 'place', place)
  local its_line, lines, ends = key('line', now_in), key('lines', place), key('until', place)
  if (state == 'waiting' or state == 'sealed') and (not digest or digest == id) then
    call('ZADD', its_line, id, id)
    call('SADD', lines, now_in)
    call('ZADD', ends, keep_until, id)
    call('SADD', key('places'), space)
    for _, name in ipairs({ its_line, lines, ends, key('places') }) do
      touch(name)
    end
  else
    call('ZREM', its_line, id)
    call('ZREM', ends, id)
  end
end

-- Return the ids of the messages that are sent as one with this one.
local function digest_of(id)
  local members = call('SMEMBERS', key('digest', id))
  return #members > 0 and members or { id }
end

-- Stop counting a message: it is posted, or gone.
local function uncount(id)
  call('ZREM', key('all'), id)
  local size = call('HGET', key('sizes'), id)
  if size then
    call('HDEL', key('sizes'), id)
    call('DECRBY', key('bytes'), size)
  end
end

local function unseal(head)
  for _, id in ipairs(digest_of(head)) do
    set(id, 'state', 'waiting')
    call('HDEL', message(id), 'digest', 'sealed')
    index(id)
  end
  call('DEL', key('digest', head))
end

local function remove(id)
  if call('EXISTS', message(id)) == 0 then
    unseal(id) -- Redis has thrown away the body of a digest: its messages go one by one
  end
  uncount(id)
  call('SREM', key('posted'), id)
  local line, place, digest = fields(id, 'line', 'place', 'digest')
  if line then
    call('ZREM', key('line', line), id)
    call('ZREM', key('until', place), id)
    call('SREM', key('untold', place), id)
  end
  if digest then
    call('SREM', key('digest', digest), id)
  end
  call('DEL', message(id))
end


-- Return a message as a list of names and values, its id first; nothing if Redis has thrown it away meanwhile.
local function read(id)
  local row = call('HGETALL', message(id))
  if #row == 0 then
    remove(id)
    return nil
  end
  table.insert(row, 1, id)
  return row
end

local function read_all(ids)
  local rows = {}
  for _, id in ipairs(ids) do
    rows[#rows + 1] = read(id)
  end
  return rows
end

local function with_digests(ids)
  local all, seen = {}, {}
  for _, id in ipairs(ids) do
    local head = fields(id, 'digest') or id
    if not seen[head] then
      seen[head] = true
      for _, member in ipairs(digest_of(head)) do
        all[#all + 1] = member
      end
    end
  end
  return all
end

local function add(rows)
  local ids = {}
  -- Redis can have thrown the counter away.
  local highest = call('ZREVRANGE', key('all'), 0, 0)[1]
  if highest and tonumber(highest) > tonumber(call('GET', key('last')) or 0) then
    call('SET', key('last'), highest)
  end
  for _, row in ipairs(rows) do
    local id = tostring(call('INCR', key('last')))
    local flat, keep_for = {}, row.keep_until - given.now
    row.keep_until = string.format('%.6f', now + keep_for)
    for name, value in pairs(row) do
      flat[#flat + 1] = name
      flat[#flat + 1] = value
    end
    call('HSET', message(id), unpack(flat))
    call('EXPIRE', message(id), math.ceil(math.max(0, keep_for)) + LISTED_DAYS * DAY)
    call('ZADD', key('all'), id, id)
    call('HSET', key('sizes'), id, #row.request)
    call('INCRBY', key('bytes'), #row.request)
    for _, name in ipairs({ 'last', 'all', 'sizes', 'bytes' }) do
      touch(key(name))
    end
    index(id)
    ids[#ids + 1] = tonumber(id)
  end
  return ids
end

local function sweep()
  for _, id in ipairs(call('SMEMBERS', key('posted'))) do
    local awaited, posted_at = fields(id, 'is_awaited', 'posted_at')
    if awaited ~= '1' or tonumber(posted_at) < now - given.awaited_for then
      remove(id)
    end
  end
end

-- A Redis that has lost its data gives ids again.
local function is_same(message_given)
  local written, host = fields(message_given.id, 'written', 'host')
  return written == message_given.written and host == message_given.host
end

-- Return whether others have tried a message after this try of it, which is late.
local function is_stale()
  return not is_same(given) or tonumber(fields(given.id, 'attempts')) ~= given.attempts
end

local steps = {}

function steps.add()
  local count, size = call('ZCARD', key('all')), tonumber(call('GET', key('bytes')) or 0)
  for _, row in ipairs(given.rows) do
    size = size + #row.request
  end
  if count + #given.rows > given.most_messages or size > given.most_bytes then
    return { -1, count }
  end
  return add(given.rows)
end

function steps.withdraw()
  local stay = {}
  for _, id in ipairs(given.ids) do
    local state, digest = fields(id, 'state', 'digest')
    if not state or state == 'posted' or (digest and call('SCARD', key('digest', digest)) > 1) then
      stay[#stay + 1] = tonumber(id)
    else
      remove(id)
    end
  end
  return stay
end

function steps.release()
  for _, id in ipairs(given.ids) do
    set(id, 'is_awaited', '0')
  end
  sweep()
end

function steps.get()
  local row = read(given.id)
  if not row and tonumber(given.id) > tonumber(call('GET', key('last')) or 0) then
    return redis.error_reply('LOST the message')
  end
  return row or {}
end

function steps.read()
  return read_all(given.ids)
end

-- Redis can have thrown any key away: what waits, and is in no line, is put into its line again.
function steps.states()
  local states = {}
  for _, id in ipairs(call('ZRANGE', key('all'), 0, -1)) do
    local space, state, digest, line = fields(id, 'space', 'state', 'digest', 'line')
    if not state then
      remove(id)
    else
      if digest and digest ~= id and call('EXISTS', message(digest)) == 0 then
        call('HDEL', message(id), 'digest', 'sealed')
        digest = false
      end
      local waits = (state == 'waiting' or state == 'sealed') and (not digest or digest == id)
      if waits and not call('ZSCORE', key('line', line), id) then
        index(id)
      end
      states[#states + 1] = { id, space, state }
    end
  end
  return states
end

function steps.waiting()
  local spaces = {}
  for _, space in ipairs(call('SMEMBERS', key('places'))) do
    if call('ZCARD', key('until', place_of(space))) > 0 then
      spaces[#spaces + 1] = space
    else
      call('SREM', key('places'), space)
    end
  end
  return spaces
end

function steps.heads()
  local heads, lines = {}, key('lines', place_of(given.space))
  for _, line in ipairs(call('SMEMBERS', lines)) do
    local first = call('ZRANGE', key('line', line), 0, 0)[1]
    while first and call('EXISTS', message(first)) == 0 do
      call('ZREM', key('line', line), first)
      call('ZREM', key('until', place_of(given.space)), first)
      remove(first)
      first = call('ZRANGE', key('line', line), 0, 0)[1]
    end
    if first then
      heads[#heads + 1] = { first, fields(first, 'fingerprint', 'thread', 'profile', 'config') }
    else
      call('SREM', lines, line)
    end
  end
  return heads
end

function steps.followers()
  local line = fields(given.id, 'line')
  if not line then
    return {}
  end
  return read_all(call('ZRANGEBYSCORE', key('line', line), given.id, '+inf', 'LIMIT', 0, given.most))
end

-- Keep others from posting to a space; 1 if nobody else does so now.
function steps.lease()
  local name = key('lease', place_of(given.space))
  local holder = call('GET', name)
  -- A lease that lasts longer than we give is of a clock that has been set back.
  if holder and holder ~= given.name and call('PTTL', name) <= given.milliseconds then
    return 0
  end
  call('SET', name, given.name, 'PX', given.milliseconds)
  return 1
end

function steps.give_back()
  local name = key('lease', place_of(given.space))
  if call('GET', name) == given.name then
    call('DEL', name)
  end
end

function steps.seal()
  if call('GET', key('lease', place_of(given.space))) ~= given.name then
    return 0
  end
  for _, member in ipairs(given.members) do
    local state, attempts, fingerprint, space, digest =
      fields(member.id, 'state', 'attempts', 'fingerprint', 'space', 'digest')
    local is_as_read = state == member.state and attempts == member.attempts and (not digest or digest == member.id)
    if not (is_as_read and is_same(member) and fingerprint == given.fingerprint and space == given.space) then
      return 0
    end
  end
  for _, member in ipairs(given.members) do
    set(member.id, 'state', 'sealed', 'is_uncertain', '1', 'digest', given.id)
    call('HINCRBY', message(member.id), 'attempts', 1)
    call('SADD', key('digest', given.id), member.id)
    index(member.id)
  end
  touch(key('digest', given.id))
  set(given.id, 'sealed', given.request)
  return 1
end

function steps.posted()
  local posted = is_same(given) and digest_of(given.id) or {}
  for _, id in ipairs(posted) do
    uncount(id)
    local awaited, line, place = fields(id, 'is_awaited', 'line', 'place')
    if awaited == '1' then
      call('ZREM', key('line', line), id)
      call('ZREM', key('until', place), id)
      set(id, 'state', 'posted', 'created', given.created, 'posted_at', now)
      call('SADD', key('posted'), id)
      touch(key('posted'))
    else
      remove(id)
    end
  end
  if #posted > 0 then
    call('DEL', key('digest', given.id))
  end
  call('DEL', key('rest', given.fingerprint))
  sweep()
end

function steps.failed()
  if is_stale() then
    return
  end
  for _, id in ipairs(digest_of(given.id)) do
    set(id, 'error', given.error, 'is_uncertain', given.is_uncertain)
  end
  if given.is_uncertain == '0' then
    unseal(given.id)
  end
end

function steps.note()
  set(given.id, 'error', given.error)
end

function steps.refuse()
  if is_stale() then
    return
  end
  local members = digest_of(given.id)
  local is_one_by_one = #members > 1 and given.is_uncertain == '0'
  for _, id in ipairs(members) do
    set(id, 'error', given.error, 'is_uncertain', given.is_uncertain)
    if is_one_by_one then
      set(id, 'is_alone', '1')
    else
      set(id, 'state', 'refused')
      index(id)
    end
  end
  if is_one_by_one then
    unseal(given.id)
  end
end

-- Let some messages expire; return how many there were.
function steps.expire()
  local place = place_of(given.space)
  local late = call('ZRANGEBYSCORE', key('until', place), '-inf', now, 'LIMIT', 0, given.most)
  for _, head in ipairs(late) do
    for _, id in ipairs(read(head) and digest_of(head) or {}) do
      set(id, 'state', 'expired')
      index(id)
      call('SADD', key('untold', place), id)
    end
    call('ZREM', key('until', place), head)
  end
  touch(key('untold', place))
  return #late
end

-- Return the ids of expired messages that the space has not been told of.
function steps.untold()
  local untold, ids = key('untold', place_of(given.space)), {}
  for _, id in ipairs(call('SORT', untold)) do
    if fields(id, 'state') == 'expired' then
      ids[#ids + 1] = tonumber(id)
    else
      call('SREM', untold, id)
    end
  end
  return ids
end

-- Keep notices of expired messages, unless others have done so meanwhile.
function steps.tell()
  local untold = key('untold', place_of(given.space))
  for _, id in ipairs(given.ids) do
    if call('SISMEMBER', untold, id) == 0 then
      return
    end
  end
  add(given.rows)
  for _, id in ipairs(given.ids) do
    call('SREM', untold, id)
  end
end

function steps.rest_until()
  local ends = tonumber(call('HGET', key('rest', given.fingerprint), 'until') or 0)
  return string.format('%.3f', ends - now + given.now)
end

function steps.rest()
  local name = key('rest', given.fingerprint)
  local failures = tonumber(call('HGET', name, 'failures') or 0)
  local seconds = math.min(given.longest, given.first * 2 ^ math.min(failures, 10))
  call('HSET', name, 'failures', failures + 1, 'until', string.format('%.3f', now + seconds))
  call('EXPIRE', name, math.ceil(2 * given.longest))
end

function steps.retry()
  for _, id in ipairs(with_digests(given.ids)) do
    local state, is_uncertain, place, digest = fields(id, 'state', 'is_uncertain', 'place', 'digest')
    if state == 'refused' or state == 'expired' then
      set(id, 'state', is_uncertain == '1' and 'sealed' or 'waiting', 'keep_until', now + given.keep_for)
      call('HDEL', message(id), 'error')
      if is_uncertain ~= '1' then
        call('HDEL', message(id), 'digest', 'sealed')
        if digest then
          call('SREM', key('digest', digest), id)
        end
      end
      call('EXPIRE', message(id), math.ceil(given.keep_for) + LISTED_DAYS * DAY)
      call('SREM', key('untold', place), id)
      index(id)
    end
  end
end

function steps.move()
  for _, id in ipairs(with_digests(given.ids)) do
    local place = fields(id, 'place')
    if place then
      call('ZREM', key('until', place), id)
      call('SREM', key('untold', place), id)
      call('HDEL', message(id), 'profile', 'config', 'error')
      for name, value in pairs(given.webhook) do
        set(id, name, value)
      end
      index(id)
    end
  end
end

function steps.drop()
  local dropped = 0
  for _, id in ipairs(with_digests(given.ids)) do
    local state = fields(id, 'state')
    if state and state ~= 'posted' then
      remove(id)
      dropped = dropped + 1
    end
  end
  return dropped
end

if step ~= 'add' then
  -- A script that has freed memory may go on in a Redis that is full, so what is kept there can still be posted.
  call('DEL', key('nothing'))
end
return steps[step]() or false
