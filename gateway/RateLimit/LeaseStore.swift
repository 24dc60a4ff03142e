import Contracts
import Crypto
import NIOCore
import Redis

/// What a bucket tells Redis and asks of it, in one step.
struct LeaseRequest {
    /// The log to which the bucket has told what it admitted; 0 when it has nothing in any.
    var log: Int64
    /// Requests that wait.
    var needed: Int
    /// What it would like to have in hand, those that wait included.
    var wanted: Int
    /// The lease before, all of which is settled by this.
    var settled: (endsAt: Int64, count: Int)?
    /// Tokens at hand, which become part of the new lease.
    var kept: Int
    /// What was admitted since the last report, and how long ago.
    var spent: [(age: TimeAmount, count: Int)]
}

/// What Redis gave.
struct Lease {
    var log: Int64
    var granted: Int
    /// Free places in the window; below 0 when more was admitted than the limit, by batches.
    var remaining: Int
    /// Until a place is free, or one more.
    var moreAfter: TimeAmount
    /// Until asking again may help, when none is free: some that others hold may come back before.
    var askAfter: TimeAmount
    /// By Redis' clock, in milliseconds.
    var endsAt: Int64
}

/// Draws leases from the logs in Redis, by a script, so that a draw is one step for all gateways. Time is Redis' own: the gateways'
/// clocks do not matter.
struct LeaseStore {
    enum Reply {
        case lease(Lease)
        /// Redis has lost the log that the bucket reported to.
        case unknownLog
    }

    let redis: RedisClient

    /// A log: when it was begun, how many stand in it, and then, the oldest first, when how many were admitted, in milliseconds since it was
    /// begun. A lease stands in it at its end, the latest time at which its tokens may be spent, until its holder tells when they were.
    static let script = """
        local clock = redis.call('TIME')
        local a = {}
        for i = 1, #ARGV do a[i] = tonumber(ARGV[i]) end
        local count, period, span, part, log = a[1], a[2], a[3], a[4], a[5]
        local needed, wanted, kept, settledEnd, settled = a[6], a[7], a[8], a[9], a[10]

        local packed = redis.call('GET', KEYS[1])
        local now = clock[1] * 1000 + clock[2] / 1000
        local e = packed and cmsgpack.unpack(packed) or {math.ceil(now), 0}
        local begun, total = e[1], e[2]
        if log ~= 0 and (not packed or log ~= begun) then return {0} end
        now = now - begun
        local ends = math.ceil(now + span)
        local changed = false

        -- Later than the end of any lease only if the clock was set back; that must not last.
        if #e > 2 and e[#e - 1] > ends then
            for i = 3, #e, 2 do e[i] = math.min(e[i], ends) end
            changed = true
        end

        local first = 3
        while e[first] and e[first] <= now - period do
            total, first = total - e[first + 1], first + 2
        end

        -- The earliest that may be those of the lease: what is left is not earlier than what was admitted.
        if log ~= 0 and settled > 0 then
            local i = #e - 1
            while i - 2 >= first and e[i - 2] >= settledEnd - begun do i = i - 2 end
            while settled > 0 and i >= first and e[i] and e[i] >= settledEnd - begun do
                local taken = math.min(settled, e[i + 1])
                settled, total, e[i + 1], changed = settled - taken, total - taken, e[i + 1] - taken, true
                if e[i + 1] == 0 then
                    table.remove(e, i + 1)
                    table.remove(e, i)
                else
                    i = i + 2
                end
            end
        end

        -- What was spent keeps its time: it is not noted together with leases under way, which end later.
        local function isOneEntry(one, other, number) return number <= part and (one > now + 1) == (other > now + 1) end
        local function charge(at, number)
            if number == 0 or at <= now - period then return end
            total, changed = total + number, true
            local i = #e - 1
            while i >= first and e[i] > at do i = i - 2 end
            if i >= first and isOneEntry(e[i], at, e[i + 1] + number) then
                e[i], e[i + 1] = at, e[i + 1] + number
            else
                table.insert(e, i + 2, at)
                table.insert(e, i + 3, number)
            end
        end
        for i = 11, #a, 2 do charge(math.ceil(now - a[i] / 1000), a[i + 1]) end

        local free = count - total - kept
        local granted = math.max(0, math.min(free, math.max(needed, math.min(wanted, math.floor(free / 16)))))
        charge(ends, kept + granted)

        if #e < first then
            if packed then redis.call('DEL', KEYS[1]) end
            return {0, 0, count, 0, 0, 0}
        end
        if changed then
            local new, isMany = {begun, total}, #e > 500
            for i = first, #e, 2 do
                local last = #new
                if isMany and last > 2 and isOneEntry(new[last - 1], e[i], new[last] + e[i + 1]) then
                    new[last - 1], new[last] = e[i], new[last] + e[i + 1]
                else
                    new[last + 1], new[last + 2] = e[i], e[i + 1]
                end
            end
            redis.call('SET', KEYS[1], cmsgpack.pack(new), 'PX', math.ceil(e[#e - 1] + period - now))
        end

        local gone, i = e[first + 1], first
        while total - gone >= count do
            i = i + 2
            gone = gone + e[i + 1]
        end
        local more = e[i] + period - now
        i = #e - 1
        while i - 2 >= first and e[i - 2] > now + 1 do i = i - 2 end
        local ask = e[i] > now + 1 and math.min(more, e[i] - now) or more
        return {begun, granted, free - granted, math.ceil(more * 1000), math.ceil(ask * 1000), begun + ends}
        """

    private static let digest = Insecure.SHA1.hash(data: Array(script.utf8)).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
        .joined()

    /// - Throws: ``RedisError`` in the future.
    func draw(_ request: LeaseRequest, key: String, policy: RateLimit) -> EventLoopFuture<Reply> {
        // With the period: a window of another length forgets what this one still counts.
        let arguments: [Int64] =
            [
                Int64(policy.count), 1000 * Int64(policy.period), policy.leaseSpan.nanoseconds / 1_000_000, Int64(policy.part), request.log,
                Int64(request.needed), Int64(request.wanted), Int64(request.kept), request.settled?.endsAt ?? 0,
                Int64(request.settled?.count ?? 0),
            ] + request.spent.flatMap { [max(0, $0.age.nanoseconds / 1000), Int64($0.count)] }
        let parts = ["1", "martlet:limit:\(key):\(policy.period)"] + arguments.map(String.init)
        return redis.send(["EVALSHA", Self.digest] + parts)
            .flatMapError { [redis] error in
                // A Redis that was started anew has no scripts.
                guard case RedisError.server(let text) = error, text.hasPrefix("NOSCRIPT") else {
                    return redis.eventLoop.makeFailedFuture(error)
                }
                return redis.send(["EVAL", Self.script] + parts)
            }
            .flatMapThrowing { try Self.reply($0) }
    }

    private static func reply(_ value: RedisValue) throws -> Reply {
        let parts = value.array?.compactMap(\.integer) ?? []
        if parts == [0] { return .unknownLog }
        guard parts.count == 6 else { throw RedisError.malformedReply }
        return .lease(
            Lease(
                log: parts[0], granted: Int(parts[1]), remaining: Int(parts[2]), moreAfter: .microseconds(parts[3]),
                askAfter: .microseconds(parts[4]), endsAt: parts[5]))
    }
}
