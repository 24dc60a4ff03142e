import Contracts
import Logging
import NIOCore
import Redis

/// The limits of one event loop: those of tenants and users, which come with their tokens, and that of addresses.
final class RateLimiter {
    private let store: LeaseStore
    private let eventLoop: any EventLoop
    private let shares: LocalShares
    private let logger: Logger
    private var buckets = GenerationCache<String, LeasedBucket>(limit: 20_000)
    private var edge = EdgeLimit()
    private(set) var redisIsAway = false
    private(set) var draws = 0
    private(set) var failedDraws = 0
    /// Requests in 15 minutes per address without a valid token.
    var addressLimit: Int

    /// So many networks of the size that one client has to himself (/64) may use up their limit in one /48.
    private static let networkFactor = 32
    /// What refreshes are allowed, in limits of an address.
    private static let refreshFactor = 10

    /// - Parameter shares: What is admitted while Redis is away; one for all event loops.
    init(redis: RedisClient, addressLimit: Int, shares: LocalShares, logger: Logger) {
        store = LeaseStore(redis: redis)
        eventLoop = redis.eventLoop
        self.addressLimit = addressLimit
        self.shares = shares
        self.logger = logger
    }

    var bucketCount: Int { buckets.count }

    /// The bucket of the key. One that was forgotten starts again from Redis, which forgets nothing.
    func bucket(_ key: String, name: String, policy: RateLimit) -> LeasedBucket {
        if let bucket = buckets[key], bucket.policy == policy { return bucket }
        // Safe: buckets are used by connections and tokens of the worker that owns this limiter.
        let bucket = LeasedBucket(key: key, name: name, policy: policy, shares: shares) { [unowned self] in draw($0, for: $1) }
        buckets[key] = bucket
        return bucket
    }

    /// The bucket of requests without a valid token from an address.
    func address(_ address: IPAddress) -> LeasedBucket {
        bucket("address:\(address.limitKey)", name: "address", policy: addressPolicy(1))
    }

    /// The bucket of refreshes without a valid access token from an address: ten times as many, for all the people behind it. What they
    /// send cannot be guessed, and costs no hash.
    func refresh(_ address: IPAddress) -> LeasedBucket {
        bucket("refresh:\(address.limitKey)", name: "address", policy: addressPolicy(Self.refreshFactor))
    }

    /// The bucket of the /48 that an IPv6 address is in, for what its address is charged for; `nil` for IPv4. It is charged before the
    /// address, so that who rotates through the addresses of one network makes no key in Redis for each.
    func network(_ address: IPAddress, isRefresh: Bool) -> LeasedBucket? {
        guard !address.isV4 else { return nil }
        let factor = Self.networkFactor * (isRefresh ? Self.refreshFactor : 1)
        let key = "\(isRefresh ? "refresh" : "address"):\(String(address.high >> 16, radix: 16))/48"
        return bucket(key, name: "network", policy: addressPolicy(factor))
    }

    private func addressPolicy(_ factor: Int) -> RateLimit { RateLimit(count: min(1_000_000_000, factor * addressLimit), period: 900) }

    /// What is answered before any limit was asked: a preflight, a head that cannot be read. In memory only.
    func edge(_ address: IPAddress, now: NIODeadline) -> LeasedBucket.Decision {
        edge.take(address, now: now).map { .refused(retryAfter: $0) } ?? .admitted
    }

    private func draw(_ request: LeaseRequest, for bucket: LeasedBucket) {
        draws += 1
        let bound = NIOLoopBound((self, bucket), eventLoop: eventLoop)
        store.draw(request, key: bucket.key, policy: bucket.policy).whenComplete { result in
            let (limiter, bucket) = bound.value
            switch result {
            case .success(let reply):
                limiter.noteRedis(isAway: false)
                switch reply {
                case .lease(let lease): bucket.granted(lease, now: .now())
                case .unknownLog: bucket.logWasLost(now: .now())
                }
                limiter.watch(bucket)
            case .failure(let error):
                limiter.failedDraws += 1
                limiter.noteRedis(isAway: true)
                bucket.drawFailed(mayHaveArrived: Self.mayHaveArrived(error), now: .now())
            }
        }
    }

    /// Whether Redis may have run the script though the draw failed.
    private static func mayHaveArrived(_ error: any Error) -> Bool {
        switch error as? RedisError {
        case .server, .unavailable, .overloaded, .stopped: false
        case .timeout, .connectionLost, .malformedReply, nil: true
        }
    }

    /// Has tokens given back that lapse unspent; one timer a bucket.
    private func watch(_ bucket: LeasedBucket) {
        guard !bucket.isWatched, let time = bucket.lapsesAt else { return }
        bucket.isWatched = true
        eventLoop.assumeIsolated().scheduleTask(deadline: time) { [self] in
            bucket.isWatched = false
            if bucket.returnLapsed(now: .now()) != nil { watch(bucket) }
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
