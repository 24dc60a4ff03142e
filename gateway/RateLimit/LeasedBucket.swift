import Contracts
import NIOCore

/// One limit on one event loop: tokens drawn from Redis in leases and spent here.
///
/// A request is admitted with a token that Redis granted, so all gateways together admit at most the limit; what it turns out to hold
/// beyond one operation is owed, and drawn before anyone else is admitted here. While Redis does not answer,
/// a local share of the limit holds instead (``LocalBucket``).
final class LeasedBucket {
    enum Decision {
        case admitted
        /// - Parameter retryAfter: Seconds, at least 1.
        case refused(retryAfter: Int)
    }

    /// What the bucket draws from; the limiter gives it.
    typealias Draw = (_ wanted: Int, _ bucket: LeasedBucket) -> Void

    let key: String
    /// What the answer's headers call it.
    let name: String
    let nameBytes: [UInt8]
    let policy: RateLimit
    private let localShare: Double
    private let draw: Draw
    private var tokens = 0
    private var leaseEnds = NIODeadline.uptimeNanoseconds(0)
    /// Tokens in Redis at the last draw.
    private var remainingInRedis: Int
    private var refusedUntil = NIODeadline.uptimeNanoseconds(0)
    private var isDrawing = false
    private var waiters = CircularBuffer<(Decision) -> Void>()
    private var local: LocalBucket?
    /// Until then Redis is not asked again after it failed.
    private var localUntil = NIODeadline.uptimeNanoseconds(0)

    /// Requests that may wait for one draw.
    private static let waiterLimit = 1024

    init(key: String, name: String, policy: RateLimit, localShare: Double, draw: @escaping Draw) {
        self.key = key
        self.name = name
        nameBytes = Array(name.utf8)
        self.policy = policy
        self.localShare = localShare
        self.draw = draw
        remainingInRedis = policy.count
    }

    /// Takes a token from the lease at hand; `nil` when a draw must be waited for with ``wait(now:_:)``.
    func take(now: NIODeadline) -> Decision? {
        if now < localUntil { return takeLocally(now: now) }
        if tokens > 0 {
            if now < leaseEnds {
                tokens -= 1
                // The next lease is drawn before this one is empty, so that nobody waits in a steady flow.
                if tokens < policy.leaseSize / 2, !isDrawing, now >= refusedUntil { startDraw(policy.leaseSize) }
                return .admitted
            }
            tokens = 0
        }
        if now < refusedUntil { return .refused(retryAfter: Self.seconds(until: refusedUntil, now: now)) }
        return nil
    }

    func wait(now: NIODeadline, _ body: @escaping (Decision) -> Void) {
        guard waiters.count < Self.waiterLimit else { return body(.refused(retryAfter: 1)) }
        waiters.append(body)
        if !isDrawing { startDraw(policy.leaseSize) }
    }

    /// Gives a token back that was taken for a request which another limit refused.
    func giveBack() { if local == nil { tokens += 1 } }

    /// Takes tokens for what a request turned out to hold beyond one. What the lease at hand lacks is owed, up to the limit itself.
    func owe(_ count: Int, now: NIODeadline) {
        if now < localUntil {
            local?.owe(count)
            return
        }
        tokens = max(-policy.count, tokens - count)
        if tokens < 0, !isDrawing { startDraw(policy.leaseSize) }
    }

    private func startDraw(_ wanted: Int) {
        isDrawing = true
        draw(max(wanted, waiters.count) + max(0, -tokens), self)
    }

    func granted(_ lease: Lease, now: NIODeadline) {
        isDrawing = false
        local = nil
        // A lease ends, a debt does not.
        if now >= leaseEnds { tokens = min(tokens, 0) }
        tokens += lease.granted
        leaseEnds = now + policy.leaseSpan
        remainingInRedis = lease.remaining
        if lease.retryAfter > .zero {
            let debt = Double(max(0, -tokens)) * Double(policy.period) / Double(policy.count)
            refusedUntil = now + lease.retryAfter + .nanoseconds(Int64(debt * 1e9))
        }
        while tokens > 0, let waiter = waiters.popFirst() {
            tokens -= 1
            waiter(.admitted)
        }
        guard !waiters.isEmpty else { return }
        if lease.retryAfter > .zero {
            let refused = waiters
            waiters.removeAll()
            for waiter in refused { waiter(.refused(retryAfter: Self.seconds(until: refusedUntil, now: now))) }
        } else {
            // More came while the draw was under way.
            startDraw(policy.leaseSize)
        }
    }

    func drawFailed(now: NIODeadline) {
        isDrawing = false
        localUntil = now + .seconds(1)
        let waiting = waiters
        waiters.removeAll()
        for waiter in waiting { waiter(takeLocally(now: now)) }
    }

    private func takeLocally(now: NIODeadline) -> Decision {
        var bucket = local ?? LocalBucket(policy: policy, share: localShare, now: now)
        defer { local = bucket }
        return bucket.take(now: now).map { .refused(retryAfter: $0) } ?? .admitted
    }

    private static func seconds(until: NIODeadline, now: NIODeadline) -> Int {
        max(1, Int(((until - now).nanoseconds + 999_999_999) / 1_000_000_000))
    }

    /// An estimate, since other gateways draw too.
    var remaining: Int { local?.remaining ?? max(0, min(policy.count, remainingInRedis + tokens)) }

    /// Seconds until the bucket is full again if nothing more is taken.
    var resetSeconds: Int { ((policy.count - remaining) * policy.period + policy.count - 1) / policy.count }
}
