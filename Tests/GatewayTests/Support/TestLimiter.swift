import Contracts
import Logging
import NIOCore
import NIOPosix
import Redis

@testable import Gateway

/// The limits of one event loop of a gateway, asked as its connections do.
final class TestLimiter: Sendable {
    let loop: any EventLoop
    private let limiter: NIOLoopBound<RateLimiter>

    /// - Parameter shares: what a gateway admits alone while Redis is away; one for the loops of one gateway.
    init(_ redis: RedisConfiguration, shares: LocalShares = LocalShares(share: 0.5), addressLimit: Int = 100) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        var logger = Logger(label: "test")
        logger.logLevel = .error
        limiter = try await loop.submit { [logger] in
            let limiter = RateLimiter(
                redis: RedisClient(configuration: redis, eventLoop: loop), addressLimit: addressLimit, shares: shares, logger: logger)
            return NIOLoopBound(limiter, eventLoop: loop)
        }.get()
        self.loop = loop
    }

    /// Runs on the limiter's loop.
    func with<T: Sendable>(_ body: @escaping @Sendable (RateLimiter) throws -> T) async throws -> T {
        try await loop.submit { try body(self.limiter.value) }.get()
    }

    struct Answer: Sendable {
        var asked: Asked
        var retryAfter: Int?
        var remaining: Int
        var resetSeconds: Int
        var isAdmitted: Bool { asked.isAdmitted }
    }

    /// One request.
    func ask(_ key: String, _ policy: RateLimit) async throws -> Answer {
        try await ask { $0.bucket(key, name: "user", policy: policy) }
    }

    func ask(_ bucket: @escaping @Sendable (RateLimiter) -> LeasedBucket) async throws -> Answer {
        try await loop.flatSubmit { [self] in
            let promise = loop.makePromise(of: Answer.self)
            let bucket = bucket(limiter.value)
            let before = NIODeadline.now()
            let told = { (decision: LeasedBucket.Decision) in
                var answer = Answer(
                    asked: Asked(before: before, after: .now(), isAdmitted: true), retryAfter: nil, remaining: bucket.remaining,
                    resetSeconds: bucket.resetSeconds)
                if case .refused(let seconds) = decision {
                    answer.asked.isAdmitted = false
                    answer.retryAfter = seconds
                }
                promise.succeed(answer)
            }
            if let decision = bucket.take(now: before) { told(decision) } else { bucket.wait(now: before, told) }
            return promise.futureResult
        }.get()
    }

    /// Requests one after another, one in each interval, until time is up.
    func load(_ key: String, _ policy: RateLimit, for duration: Duration, every interval: Duration) async throws -> [Asked] {
        let clock = ContinuousClock()
        let start = clock.now
        var asked: [Asked] = []
        while clock.now < start + duration {
            asked.append(try await ask(key, policy).asked)
            try await clock.sleep(until: start + interval * asked.count)
        }
        return asked
    }
}
