"""The scripts of the job records on Redis; `redis_store` says what the keys hold.

Every change is one script, so two processes never see half of one; each script comes out the same when run twice.
"""

# KEYS: job, jobs, active, queued, sole, request
# ARGV: id, record, state, score, most queued, kind where it is sole, prefix of jobs, fingerprint, lifetime of a key
CREATE = """
local function as_made(job)
  local fields = redis.call('hmget', job, 'record', 'cancel')
  return {'made', fields[1], fields[2]}
end
local first = redis.call('hmget', KEYS[6], 'job', 'fingerprint')
if first[1] and redis.call('exists', ARGV[7] .. first[1]) == 1 then
  return first[2] == ARGV[8] and as_made(ARGV[7] .. first[1]) or {'conflict'}
end
local digest = redis.sha1hex(ARGV[2])
if redis.call('exists', KEYS[1]) == 1 then
  return redis.call('hget', KEYS[1], 'made') == digest and as_made(KEYS[1]) or {'taken'}
end
local other = ARGV[6] ~= '' and redis.call('hget', KEYS[5], ARGV[6])
if other then return {'after', other} end
if redis.call('scard', KEYS[4]) >= tonumber(ARGV[5]) then return {'full'} end
redis.call('hset', KEYS[1], 'record', ARGV[2], 'state', ARGV[3], 'ended', '0', 'made', digest)
redis.call('zadd', KEYS[2], ARGV[4], ARGV[1])
redis.call('zadd', KEYS[3], ARGV[4], ARGV[1])
redis.call('sadd', KEYS[4], ARGV[1])
if ARGV[6] ~= '' then redis.call('hset', KEYS[5], ARGV[6], ARGV[1]) end
if ARGV[8] ~= '' then
  redis.call('hset', KEYS[6], 'job', ARGV[1], 'fingerprint', ARGV[8])
  redis.call('expire', KEYS[6], ARGV[9])
end
return as_made(KEYS[1])
"""

# KEYS: request; ARGV: prefix of jobs. Gives the fingerprint, the record and whether it is to be cancelled.
MADE_BEFORE = """
local first = redis.call('hmget', KEYS[1], 'job', 'fingerprint')
if not first[1] then return {false, false, false} end
local fields = redis.call('hmget', ARGV[1] .. first[1], 'record', 'cancel')
return {first[2], fields[1], fields[2]}
"""

# KEYS: job, active, queued, sole, events, untold, totals
# ARGV: id, record, state, ended, cancel, kind, event, most events, lifetime of events, end, seconds of a success,
#       bytes, fence
UPDATE = """
local ended = redis.call('hget', KEYS[1], 'ended')
if not ended then return 'missing' end
if ended == '1' or tonumber(redis.call('hget', KEYS[1], 'fence') or 0) > tonumber(ARGV[13]) then return 'ok' end
redis.call('hset', KEYS[1], 'record', ARGV[2], 'state', ARGV[3], 'ended', ARGV[4], 'fence', ARGV[13])
if ARGV[5] == '1' then redis.call('hset', KEYS[1], 'cancel', '1') end
if ARGV[3] == 'queued' then redis.call('sadd', KEYS[3], ARGV[1]) else redis.call('srem', KEYS[3], ARGV[1]) end
local last = redis.call('xrevrange', KEYS[5], '+', '-', 'COUNT', 1)[1]
if not last or last[2][2] ~= ARGV[7] then
  redis.call('xadd', KEYS[5], 'MAXLEN', ARGV[8], '*', 'data', ARGV[7])
end
if ARGV[4] == '0' then return 'ok' end
redis.call('zrem', KEYS[2], ARGV[1])
if redis.call('hget', KEYS[4], ARGV[6]) == ARGV[1] then redis.call('hdel', KEYS[4], ARGV[6]) end
redis.call('expire', KEYS[5], ARGV[9])
redis.call('zadd', KEYS[6], ARGV[10], ARGV[1])
redis.call('hincrby', KEYS[7], 'ended:' .. ARGV[3], 1)
if ARGV[11] ~= '' then
  redis.call('hincrbyfloat', KEYS[7], 'seconds', ARGV[11])
  redis.call('hincrby', KEYS[7], 'bytes', ARGV[12])
  if ARGV[3] == 'succeeded' then redis.call('hset', KEYS[7], 'last_success', ARGV[2]) end
end
return 'ok'
"""

# KEYS: the job
CANCEL = """
if redis.call('hget', KEYS[1], 'ended') == '0' then redis.call('hset', KEYS[1], 'cancel', '1') end
return redis.call('hmget', KEYS[1], 'record', 'cancel')
"""

# KEYS: jobs, active, untold, webhooks that are due; ARGV: namespace, how many ended ones stay
FORGET = """
local extra = redis.call('zcard', KEYS[1]) - redis.call('zcard', KEYS[2]) - tonumber(ARGV[2])
local function is_needed(id, webhooks)
  if redis.call('zscore', KEYS[3], id) then return true end
  for _, webhook in ipairs(webhooks) do
    if redis.call('zscore', KEYS[4], webhook) then return true end
  end
  return false
end
local function forget(id)
  local of_job = ARGV[1] .. ':webhooks:of:' .. id
  local webhooks = redis.call('zrange', of_job, 0, -1)
  if is_needed(id, webhooks) then return end
  for _, webhook in ipairs(webhooks) do redis.call('del', ARGV[1] .. ':webhook:' .. webhook) end
  redis.call('del', ARGV[1] .. ':job:' .. id, ARGV[1] .. ':events:' .. id, of_job)
  redis.call('zrem', KEYS[1], id)
end
if extra <= 0 then return end
for _, id in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
  if extra <= 0 then return end
  if not redis.call('zscore', KEYS[2], id) then
    forget(id)
    extra = extra - 1
  end
end
"""
