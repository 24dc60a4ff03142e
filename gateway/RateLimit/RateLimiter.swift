import Contracts
import Logging
import NIOCore
import Redis

/// The limits of one event loop: those of tenants and users, which come with their tokens, and that of addresses.
final class RateLimiter {
    private let store: LeaseStore
    private let eventLoop: any EventLoop
    private var localShare: Double
    private var addressPolicy: RateLimit
    private var refreshPolicy: RateLimit
    private let logger: Logger
    private var buckets = GenerationCache<String, LeasedBucket>(limit: 20_000)
    private(set) var redisIsAway = false
    private(set) var draws = 0
    private(set) var failedDraws = 0

    /// - Parameter localShare: The part of each limit for this event loop while Redis is away.
    init(redis: RedisClient, addressLimit: Int, localShare: Double, logger: Logger) {
        store = LeaseStore(redis: redis)
        eventLoop = redis.eventLoop
        self.localShare = localShare
        addressPolicy = RateLimit(count: addressLimit, period: 900)
        refreshPolicy = RateLimit(count: 10 * addressLimit, period: 900)
        self.logger = logger
    }

    /// Puts other numbers in force. The share while Redis is away holds for limits that are used for the first time from now on.
    func apply(addressLimit: Int, localShare: Double) {
        self.localShare = localShare
        addressPolicy = RateLimit(count: addressLimit, period: 900)
        refreshPolicy = RateLimit(count: 10 * addressLimit, period: 900)
    }

    var bucketCount: Int { buckets.count }

    /// The bucket of the key. One that was forgotten starts again from Redis, which forgets nothing.
    func bucket(_ key: String, name: String, policy: RateLimit) -> LeasedBucket {
        if let bucket = buckets[key], bucket.policy == policy { return bucket }
        // Safe: buckets are used by connections and tokens of the worker that owns this limiter.
        let bucket = LeasedBucket(key: key, name: name, policy: policy, localShare: localShare) { [unowned self] in draw($0, for: $1) }
        buckets[key] = bucket
        return bucket
    }

    /// The bucket of requests without a valid token from an address.
    func address(_ address: IPAddress) -> LeasedBucket {
        bucket("address:\(address.limitKey)", name: "address", policy: addressPolicy)
    }

    /// The bucket of refreshes without a valid access token from an address: ten times as many, for all the people behind it. What they
    /// send cannot be guessed, and costs no hash.
    func refresh(_ address: IPAddress) -> LeasedBucket {
        bucket("refresh:\(address.limitKey)", name: "address", policy: refreshPolicy)
    }

    private func draw(_ wanted: Int, for bucket: LeasedBucket) {
        draws += 1
        let bound = NIOLoopBound((self, bucket), eventLoop: eventLoop)
        store.draw(wanted, key: bucket.key, policy: bucket.policy).whenComplete { result in
            let (limiter, bucket) = bound.value
            switch result {
            case .success(let lease):
                limiter.noteRedis(isAway: false)
                bucket.granted(lease, now: .now())
            case .failure:
                limiter.failedDraws += 1
                limiter.noteRedis(isAway: true)
                bucket.drawFailed(now: .now())
            }
        }
    }

    /// Logs once when it changes, not for each draw.
    private func noteRedis(isAway: Bool) {
        guard isAway != redisIsAway else { return }
        redisIsAway = isAway
        if isAway {
            logger.warning("Redis does not answer; limits fall back to the local share")
        } else {
            logger.info("Redis answers again; limits are shared")
        }
    }
}
