import NIOCore
import Operations

/// Which limit refused a request.
enum LimitKind: String, CaseIterable, Sendable {
    case address, network, user, tenant, edge

    var index: Int {
        switch self {
        case .address: 0
        case .network: 1
        case .user: 2
        case .tenant: 3
        case .edge: 4
        }
    }
}

/// The counters of one event loop. Labels are routes of the table, services and their addresses, so their number never grows with traffic.
struct RequestMetrics: Sendable {
    static let statusClasses = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"]

    /// By route (the last is none) and status class (0 is a client that went away).
    private(set) var requests: [Int]
    /// By service (the last is the gateway itself).
    private(set) var durations = [LatencyHistogram](repeating: LatencyHistogram(), count: ServiceName.allCases.count + 1)
    let routeCount: Int
    var connections = 0
    var inFlight = 0
    var openStreams = 0
    var refusedConnections = 0
    var retries = 0
    var verifiedTokens = 0
    var refusedTokens = 0
    var cachedTokens = 0
    var leaseDraws = 0
    var failedLeaseDraws = 0
    var limitBuckets = 0
    /// Event loops whose last draw Redis did not answer.
    var loopsWithoutRedis = 0
    /// Requests that a limit refused, by ``LimitKind/index``.
    var limited = [Int](repeating: 0, count: LimitKind.allCases.count)
    var awaitedBodies = 0
    var heldBytes = 0
    var slowReadersEnded = 0
    var untakenBytes = 0
    var handshakes = HandshakeGate.Figures()
    /// By service.
    var upstreams = ServiceName.allCases.map { UpstreamFigures(service: $0) }
    var http2 = HTTP2Figures()

    init(routeCount: Int) {
        self.routeCount = routeCount
        requests = [Int](repeating: 0, count: (routeCount + 1) * Self.statusClasses.count)
    }

    mutating func record(route: Int?, service: ServiceName?, status: Int, microseconds: Int) {
        requests[(route ?? routeCount) * Self.statusClasses.count + min(5, max(0, status / 100))] += 1
        durations[service?.index ?? ServiceName.allCases.count].record(microseconds: microseconds)
    }

    mutating func add(_ other: RequestMetrics) {
        for index in requests.indices { requests[index] += other.requests[index] }
        for index in durations.indices { durations[index].add(other.durations[index]) }
        for index in limited.indices { limited[index] += other.limited[index] }
        for index in upstreams.indices { upstreams[index].add(other.upstreams[index]) }
        connections += other.connections
        inFlight += other.inFlight
        openStreams += other.openStreams
        refusedConnections += other.refusedConnections
        retries += other.retries
        verifiedTokens += other.verifiedTokens
        refusedTokens += other.refusedTokens
        cachedTokens += other.cachedTokens
        leaseDraws += other.leaseDraws
        failedLeaseDraws += other.failedLeaseDraws
        limitBuckets += other.limitBuckets
        loopsWithoutRedis += other.loopsWithoutRedis
        awaitedBodies += other.awaitedBodies
        heldBytes += other.heldBytes
        slowReadersEnded += other.slowReadersEnded
        untakenBytes += other.untakenBytes
        handshakes.add(other.handshakes)
        http2.add(other.http2)
    }
}
