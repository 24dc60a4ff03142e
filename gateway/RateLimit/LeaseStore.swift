import Contracts
import NIOCore
import Redis

/// What Redis gave.
struct Lease {
    var granted: Int
    /// Tokens left in the bucket.
    var remaining: Int
    /// Until the next token, when fewer were granted than wanted.
    var retryAfter: TimeAmount
}

/// Draws tokens from the buckets in Redis, by a script, so that a draw is one step for all gateways. Time is Redis' own: the
/// gateways' clocks do not matter.
struct LeaseStore {
    let redis: RedisClient

    private static let script = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local limit, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]) * 1000000, tonumber(ARGV[3])
        local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
        local tokens, at = tonumber(state[1]) or limit, tonumber(state[2]) or now
        tokens = math.min(limit, tokens + math.max(0, now - at) * limit / window)
        local granted = math.min(wanted, math.floor(tokens))
        tokens = tokens - granted
        redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
        redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
        local retry = 0
        if granted < wanted then retry = math.ceil((1 - tokens % 1) * window / limit) end
        return {granted, math.floor(tokens), retry}
        """

    /// Sent as text each time: Redis keeps the compiled script by its hash, and a draw is rare enough for the bytes not to count.
    func draw(_ wanted: Int, key: String, policy: RateLimit) -> EventLoopFuture<Lease> {
        redis.send(["EVAL", Self.script, "1", "martlet:limit:\(key)", String(policy.count), String(policy.period), String(wanted)])
            .flatMapThrowing { value in
                guard let parts = value.array, parts.count == 3, let granted = parts[0].integer, let remaining = parts[1].integer,
                    let retry = parts[2].integer
                else { throw RedisError.malformedReply }
                return Lease(granted: Int(granted), remaining: Int(remaining), retryAfter: .microseconds(retry))
            }
    }
}
