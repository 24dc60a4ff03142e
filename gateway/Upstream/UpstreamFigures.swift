import NIOCore
import Operations

/// What operators see of the way to one service: the figures of one event loop, or of several added up.
struct UpstreamFigures: Sendable {
    /// One address. A name has some; only the first ``UpstreamPool/addressLimit`` are used, so labels made of these stay few.
    struct Endpoint: Sendable {
        let address: String
        /// Of the loops that see it worst.
        var state = UpstreamHealth.State.healthy
        var connections = 0
        var idle = 0
        /// Requests under way, by lane.
        var inUse = [Int](repeating: 0, count: UpstreamLane.allCases.count)
        /// Ordinary requests at a time that the service is given.
        var concurrencyLimit = 0
        /// Answers, by the time from the request to their head.
        private(set) var roundTrips = LatencyHistogram()
        var failedConnects = 0
        /// Connections that ended, answers that broke off, answers that never came.
        var failedRequests = 0
        var failedProbes = 0
        /// How many times it was held back.
        var losses = 0

        /// Of any kind.
        var failures: Int { failedConnects + failedRequests + failedProbes }

        init(address: String) { self.address = address }

        mutating func answered(after time: TimeAmount) {
            roundTrips.record(microseconds: Int(time.nanoseconds / 1000))
        }

        mutating func add(_ other: Endpoint) {
            if state == .healthy || other.state == .ejected { state = other.state }
            connections += other.connections
            idle += other.idle
            for index in inUse.indices { inUse[index] += other.inUse[index] }
            concurrencyLimit += other.concurrencyLimit
            roundTrips.add(other.roundTrips)
            failedConnects += other.failedConnects
            failedRequests += other.failedRequests
            failedProbes += other.failedProbes
            losses += other.losses
        }
    }

    let service: ServiceName
    var endpoints: [Endpoint] = []
    /// Requests that wait, by lane.
    var waiting = [Int](repeating: 0, count: UpstreamLane.allCases.count)
    /// Refused as too many waited or would have.
    var overloaded = 0
    /// Refused after they had waited.
    var waitedInVain = 0
    /// Refused as their tenant had as many as it may.
    var tenantBusy = 0
    /// Refused as no address could be reached.
    var unreachable = 0
    var slowReadersEnded = 0
    /// Lookups of names that brought nothing.
    var failedLookups = 0

    init(service: ServiceName) { self.service = service }

    mutating func add(_ other: UpstreamFigures) {
        for endpoint in other.endpoints {
            if let index = endpoints.firstIndex(where: { $0.address == endpoint.address }) {
                endpoints[index].add(endpoint)
            } else {
                endpoints.append(endpoint)
            }
        }
        for index in waiting.indices { waiting[index] += other.waiting[index] }
        overloaded += other.overloaded
        waitedInVain += other.waitedInVain
        tenantBusy += other.tenantBusy
        unreachable += other.unreachable
        slowReadersEnded += other.slowReadersEnded
        failedLookups += other.failedLookups
    }
}
