import NIOCore
import Operations

/// The counters of one event loop. Labels are routes of the table and services, so their number never grows with traffic.
struct RequestMetrics: Sendable {
    /// Upper bounds in microseconds; one more bucket counts the rest.
    static let bounds = [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000]
    private static let classes = 6

    /// By route (the last is none) and status class (0 is a client that went away).
    private(set) var requests: [Int]
    /// By service (the last is the gateway itself) and bucket.
    private(set) var durations: [Int]
    private(set) var durationSums: [Int]
    let routeCount: Int
    var connections = 0
    var inFlight = 0
    var refusedConnections = 0
    var retries = 0
    var verifiedTokens = 0
    var refusedTokens = 0
    var cachedTokens = 0
    var leaseDraws = 0
    var failedLeaseDraws = 0
    var limitBuckets = 0
    var awaitedBodies = 0
    var heldBytes = 0
    var slowReadersEnded = 0
    var untakenBytes = 0
    var handshakes = HandshakeGate.Figures()
    /// By service: open connections, and addresses held back.
    var upstreamConnections = [Int](repeating: 0, count: ServiceName.allCases.count)
    var ejectedAddresses = [Int](repeating: 0, count: ServiceName.allCases.count)

    init(routeCount: Int) {
        self.routeCount = routeCount
        requests = [Int](repeating: 0, count: (routeCount + 1) * Self.classes)
        durations = [Int](repeating: 0, count: (ServiceName.allCases.count + 1) * (Self.bounds.count + 1))
        durationSums = [Int](repeating: 0, count: ServiceName.allCases.count + 1)
    }

    mutating func record(route: Int?, service: ServiceName?, status: Int, microseconds: Int) {
        requests[(route ?? routeCount) * Self.classes + min(5, max(0, status / 100))] += 1
        var bucket = 0
        while bucket < Self.bounds.count, microseconds > Self.bounds[bucket] { bucket += 1 }
        let place = service?.index ?? ServiceName.allCases.count
        durations[place * (Self.bounds.count + 1) + bucket] += 1
        durationSums[place] += microseconds
    }

    mutating func add(_ other: RequestMetrics) {
        for index in requests.indices { requests[index] += other.requests[index] }
        for index in durations.indices { durations[index] += other.durations[index] }
        for index in durationSums.indices { durationSums[index] += other.durationSums[index] }
        connections += other.connections
        inFlight += other.inFlight
        refusedConnections += other.refusedConnections
        retries += other.retries
        verifiedTokens += other.verifiedTokens
        refusedTokens += other.refusedTokens
        cachedTokens += other.cachedTokens
        leaseDraws += other.leaseDraws
        failedLeaseDraws += other.failedLeaseDraws
        limitBuckets += other.limitBuckets
        awaitedBodies += other.awaitedBodies
        heldBytes += other.heldBytes
        slowReadersEnded += other.slowReadersEnded
        untakenBytes += other.untakenBytes
        handshakes.add(other.handshakes)
        for index in upstreamConnections.indices {
            upstreamConnections[index] += other.upstreamConnections[index]
            ejectedAddresses[index] += other.ejectedAddresses[index]
        }
    }

    /// The text format of Prometheus.
    func rendered(routes: [RouteTable.Route], droppedLogLines: Int, isReady: Bool) -> String {
        var text = ""
        func family(_ name: String, _ kind: String, _ help: String) { text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n" }
        family("martlet_gateway_requests_total", "counter", "Requests by route and class of status.")
        let classNames = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"]
        for route in 0...routeCount {
            for (index, name) in classNames.enumerated() {
                let count = requests[route * Self.classes + index]
                if count == 0 { continue }
                let label = route < routeCount ? routes[route].prefix : "none"
                text += "martlet_gateway_requests_total{route=\"\(label)\",status=\"\(name)\"} \(count)\n"
            }
        }
        family("martlet_gateway_request_duration_seconds", "histogram", "Time from the head of a request to the end of its answer.")
        for place in 0...ServiceName.allCases.count {
            let service = place < ServiceName.allCases.count ? ServiceName.allCases[place].rawValue : "gateway"
            var sum = 0
            for bucket in 0...Self.bounds.count {
                sum += durations[place * (Self.bounds.count + 1) + bucket]
                let bound = bucket < Self.bounds.count ? "\(Double(Self.bounds[bucket]) / 1e6)" : "+Inf"
                text += "martlet_gateway_request_duration_seconds_bucket{service=\"\(service)\",le=\"\(bound)\"} \(sum)\n"
            }
            text += "martlet_gateway_request_duration_seconds_sum{service=\"\(service)\"} \(Double(durationSums[place]) / 1e6)\n"
            text += "martlet_gateway_request_duration_seconds_count{service=\"\(service)\"} \(sum)\n"
        }
        func single(_ name: String, _ kind: String, _ help: String, _ value: Int) {
            family("martlet_gateway_\(name)", kind, help)
            text += "martlet_gateway_\(name) \(value)\n"
        }
        single("ready", "gauge", "1 when requests are accepted.", isReady ? 1 : 0)
        single("connections", "gauge", "Client connections.", connections)
        single("refused_connections_total", "counter", "Connections closed because there were too many.", refusedConnections)
        single("in_flight", "gauge", "Requests under way.", inFlight)
        single("bodies_awaited", "gauge", "Requests whose bodies are not whole yet.", awaitedBodies)
        single("bodies_bytes", "gauge", "Bytes of the bodies of requests under way.", heldBytes)
        single("answers_bytes", "gauge", "Bytes of answers that clients have not taken yet.", untakenBytes)
        single(
            "slow_readers_ended_total", "counter", "Answers cut off because their clients did not read while others waited.",
            slowReadersEnded)
        single("retries_total", "counter", "Requests sent to an upstream a second time.", retries)
        single("tokens_verified_total", "counter", "Access tokens whose signature was checked and good.", verifiedTokens)
        single("tokens_refused_total", "counter", "Access tokens refused.", refusedTokens)
        single("tokens_cached", "gauge", "Verified access tokens held.", cachedTokens)
        single("limit_buckets", "gauge", "Limits held.", limitBuckets)
        single("lease_draws_total", "counter", "Leases asked of Redis.", leaseDraws)
        single("lease_draws_failed_total", "counter", "Leases that Redis did not give.", failedLeaseDraws)
        single("access_log_dropped_total", "counter", "Access log lines dropped because the output was too slow.", droppedLogLines)
        family("martlet_gateway_upstream_connections", "gauge", "Connections to a service.")
        family("martlet_gateway_upstream_ejected", "gauge", "Addresses of a service held back, over all event loops.")
        for service in ServiceName.allCases {
            text += "martlet_gateway_upstream_connections{service=\"\(service.rawValue)\"} \(upstreamConnections[service.index])\n"
            text += "martlet_gateway_upstream_ejected{service=\"\(service.rawValue)\"} \(ejectedAddresses[service.index])\n"
        }
        return text
    }
}
