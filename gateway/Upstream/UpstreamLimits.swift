import NIOCore

/// What one event loop asks of a service at most.
struct UpstreamLimits: Sendable {
    struct Lane: Sendable {
        /// Requests at a time, for each address.
        var places: Int
        /// Requests of one tenant at a time, those that wait among them; `nil` for no cap beside its share of the queue.
        var perTenant: Int?
    }

    var ordinary = Lane(places: 64, perTenant: nil)
    var bulk = Lane(places: 8, perTenant: 2)
    var stream = Lane(places: 256, perTenant: 32)
    /// Requests that wait, in each lane.
    var waiting = 1024
    /// A request is refused at once when it would wait for longer than this, as the others before it are served.
    var expectedWait = TimeAmount.milliseconds(250)
    /// A request that was expected to wait for less, and has waited for this long, is refused.
    var longestWait = TimeAmount.seconds(1)
    /// How long a connection is used, a quarter more or less.
    var connectionAge = TimeAmount.seconds(60)

    subscript(lane: UpstreamLane) -> Lane {
        switch lane {
        case .ordinary: ordinary
        case .bulk: bulk
        case .stream: stream
        }
    }

    /// Connections to one address: a place each.
    var connections: Int { ordinary.places + bulk.places + stream.places }
}

extension GatewayConfiguration {
    var upstreamLimits: UpstreamLimits {
        var limits = UpstreamLimits()
        limits.ordinary.places = upstreamConnectionLimit
        limits.connectionAge = upstreamConnectionAge
        return limits
    }
}
