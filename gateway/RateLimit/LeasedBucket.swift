import Contracts
import NIOCore

/// One limit on one event loop: tokens drawn from Redis in leases and spent here.
///
/// A request is admitted with a token that Redis granted, so all gateways together admit at most the limit in any window. With each draw
/// the bucket tells when it spent the tokens before, and which it did not. What a request turns out to hold beyond one operation is told
/// with them, and counts. While Redis does not answer, this gateway's share holds instead (``LocalShares``).
///
/// A lease is 1 at first, and twice the last one each time that was used up within its span: whoever asks once holds nothing that
/// another could use, and in a steady flow nobody waits for Redis.
final class LeasedBucket {
    enum Decision {
        case admitted
        /// - Parameter retryAfter: Seconds, at least 1.
        case refused(retryAfter: Int)
    }

    /// What the bucket draws from; the limiter gives it.
    typealias Draw = (_ request: LeaseRequest, _ bucket: LeasedBucket) -> Void

    let key: String
    /// What the answer's headers call it.
    let name: String
    let nameBytes: [UInt8]
    let policy: RateLimit
    private let shares: LocalShares
    private let seat: UInt64
    private let draw: Draw

    /// At hand; below 0 what was admitted beyond them.
    private var tokens = 0
    /// As Redis knows it: what of it is not at hand was spent, and stands in `unreported`.
    private var lease: (endsAt: Int64, count: Int)?
    /// When tokens at hand lapse. Counted from before the draw was sent, so never later than Redis lets the lease end.
    private var leaseEnds = NIODeadline.uptimeNanoseconds(0)
    private var wanted = 1
    /// Admitted since the last report.
    private var unreported: SlidingWindow
    /// In the report under way.
    private var reported: SlidingWindow
    /// All that was admitted here in the window, should Redis forget it.
    private var admitted: SlidingWindow
    /// The log in Redis that was reported to.
    private var log: Int64 = 0

    /// Whether the limiter has a timer for tokens that lapse.
    var isWatched = false
    private var isDrawing = false
    private var sentAt = NIODeadline.uptimeNanoseconds(0)
    /// Of the lease under way: tokens that were at hand.
    private var kept = 0
    private var waiters = CircularBuffer<(Decision) -> Void>()

    /// As Redis said last.
    private var remainingInRedis: Int
    private var moreAt: NIODeadline?
    /// Until then none is free, and Redis is not asked.
    private var refusedUntil = NIODeadline.uptimeNanoseconds(0)
    /// Until then Redis is not asked again after it failed.
    private var localUntil = NIODeadline.uptimeNanoseconds(0)
    private var remainingOfShare: Int?
    private var seenAt = NIODeadline.uptimeNanoseconds(0)

    /// Requests that may wait for one draw.
    private static let waiterLimit = 1024
    /// With fewer free, tokens are drawn for those that wait only.
    static let scarce = 16

    init(key: String, name: String, policy: RateLimit, shares: LocalShares, draw: @escaping Draw) {
        self.key = key
        self.name = name
        nameBytes = Array(name.utf8)
        self.policy = policy
        self.shares = shares
        self.draw = draw
        seat = shares.makeSeat()
        remainingInRedis = policy.count
        unreported = SlidingWindow(period: policy.window, part: policy.toldPart)
        reported = unreported
        admitted = SlidingWindow(period: policy.window, part: policy.leaseLimit)
    }

    // MARK: Requests

    /// Takes a token from the lease at hand; `nil` when a draw must be waited for with ``wait(now:_:)``.
    func take(now: NIODeadline) -> Decision? {
        seenAt = now
        if now < localUntil { return takeLocally(now: now) }
        if tokens > 0 {
            if now < leaseEnds {
                // The next lease is drawn before this one is empty, and before this token is spent, so that it can be given back.
                if 2 * tokens <= lease?.count ?? 0, remainingInRedis >= Self.scarce, !isDrawing { startDraw(now: now) }
                spend(1, now: now)
                return .admitted
            }
            tokens = 0
        }
        if now < refusedUntil { return refusal(now: now) }
        return nil
    }

    func wait(now: NIODeadline, _ body: @escaping (Decision) -> Void) {
        guard waiters.count < Self.waiterLimit else { return body(.refused(retryAfter: 1)) }
        waiters.append(body)
        if !isDrawing { startDraw(now: now) }
    }

    /// Gives a token back that was taken for a request which another limit refused. One that Redis has been told of stays spent.
    func giveBack() {
        guard unreported.takeBack() else { return }
        _ = admitted.takeBack()
        if remainingOfShare == nil { tokens += 1 } else { shares.note(admitted, of: key, seat: seat) }
    }

    /// Takes tokens for what a request turned out to hold beyond one. What the lease at hand lacks is told to Redis at once.
    func owe(_ count: Int, now: NIODeadline) {
        guard count > 0 else { return }
        seenAt = now
        spend(count, now: now)
        if now < localUntil {
            tokens = 0
            remainingOfShare = remainingOfShare.map { max(0, $0 - count) }
            shares.note(admitted, of: key, seat: seat)
        } else if tokens < 0, !isDrawing {
            startDraw(now: now, wanted: 0)
        }
    }

    private func spend(_ count: Int, now: NIODeadline) {
        tokens -= count
        unreported.add(count, at: now)
        admitted.add(count, at: now)
    }

    // MARK: Draws

    private func startDraw(now: NIODeadline) {
        wanted = now < leaseEnds ? min(policy.leaseLimit, 2 * wanted) : max(1, wanted / 2)
        startDraw(now: now, wanted: wanted)
    }

    private func startDraw(now: NIODeadline, wanted: Int) {
        isDrawing = true
        sentAt = now
        if now >= leaseEnds { tokens = min(tokens, 0) }
        if now >= leaseEnds + policy.window { lease = nil }
        kept = max(0, tokens)
        // What is owed is Redis' to count from here on.
        remainingInRedis += min(0, tokens)
        tokens = kept
        swap(&reported, &unreported)
        admitted.forget(now: now)
        if lease == nil, admitted.isEmpty { log = 0 }
        let request = LeaseRequest(
            log: log, needed: waiters.count, wanted: wanted, settled: lease, kept: kept,
            spent: reported.entries.map { (age: now - $0.at, count: $0.count) })
        draw(request, self)
    }

    func granted(_ lease: Lease, now: NIODeadline) {
        isDrawing = false
        reported.removeAll()
        remainingOfShare = nil
        localUntil = .uptimeNanoseconds(0)
        log = lease.log
        self.lease = kept + lease.granted > 0 ? (lease.endsAt, kept + lease.granted) : nil
        leaseEnds = sentAt + policy.leaseSpan
        remainingInRedis = lease.remaining
        moreAt = now + min(lease.moreAfter, policy.window)
        refusedUntil = lease.remaining > 0 ? .uptimeNanoseconds(0) : now + lease.askAfter
        tokens += lease.granted
        // So slow that what it gave has lapsed: as if it had not answered.
        guard now < leaseEnds else { return fallBack(now: now) }
        while tokens > 0, let waiter = waiters.popFirst() {
            spend(1, now: now)
            waiter(.admitted)
        }
        guard !isDrawing else { return }
        if tokens < 0 { return startDraw(now: now, wanted: 0) }
        guard !waiters.isEmpty else { return }
        if remainingInRedis > 0 {
            // More came while the draw was under way.
            startDraw(now: now)
        } else {
            let refused = waiters
            waiters.removeAll()
            for waiter in refused { waiter(refusal(now: now)) }
        }
    }

    /// Redis has lost what it knew of this limit, by a restart or for want of memory: it is told again what was admitted here.
    func logWasLost(now: NIODeadline) {
        lease = nil
        log = 0
        tokens = 0
        reported.removeAll()
        unreported.replace(by: admitted)
        startDraw(now: now, wanted: wanted)
    }

    /// - Parameter mayHaveArrived: Whether Redis may have done it all the same. Then nothing of it is told again: either it was, or the lease
    ///   that it was spent from counts as it stands. Only what was admitted without a lease may be missed.
    func drawFailed(mayHaveArrived: Bool, now: NIODeadline) {
        isDrawing = false
        if mayHaveArrived {
            lease = nil
        } else {
            reported.append(unreported)
            swap(&reported, &unreported)
        }
        reported.removeAll()
        fallBack(now: now)
    }

    /// Lets the local share hold for a second.
    private func fallBack(now: NIODeadline) {
        tokens = 0
        leaseEnds = min(leaseEnds, now)
        localUntil = now + .seconds(1)
        let waiting = waiters
        waiters.removeAll()
        for waiter in waiting { waiter(takeLocally(now: now)) }
    }

    /// Gives back what was not spent within the span of the lease.
    ///
    /// - Returns: When to look again; `nil` when there is nothing to give back.
    func returnLapsed(now: NIODeadline) -> NIODeadline? {
        guard tokens > 0, !isDrawing else { return nil }
        guard now >= leaseEnds else { return leaseEnds }
        startDraw(now: now, wanted: 0)
        return nil
    }

    /// When ``returnLapsed(now:)`` has something to do, as things are.
    var lapsesAt: NIODeadline? { tokens > 0 ? leaseEnds : nil }

    private func takeLocally(now: NIODeadline) -> Decision {
        unreported.forget(now: now)
        let verdict = shares.take(of: key, policy: policy, seat: seat, own: &admitted, now: now)
        remainingOfShare = verdict.remaining
        moreAt = verdict.moreAt
        guard verdict.isAdmitted else { return refusal(now: now) }
        unreported.add(at: now)
        return .admitted
    }

    // MARK: What answers say

    private func refusal(now: NIODeadline) -> Decision { .refused(retryAfter: Self.seconds(until: moreAt ?? now, now: now)) }

    private static func seconds(until: NIODeadline, now: NIODeadline) -> Int {
        max(1, Int(((until - now).nanoseconds + 999_999_999) / 1_000_000_000))
    }

    /// Requests that are admitted now. Other gateways admit too, so it may be fewer.
    var remaining: Int { remainingOfShare ?? max(0, min(policy.count, remainingInRedis + tokens)) }

    /// Seconds until there are more than ``remaining``, as the oldest that is counted leaves the window.
    var resetSeconds: Int { min(policy.period, Self.seconds(until: moreAt ?? seenAt + policy.window, now: seenAt)) }
}
