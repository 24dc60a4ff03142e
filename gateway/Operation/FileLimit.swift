#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How many files and sockets the process may have open, and how many clients that leaves room for.
struct FileLimit: Sendable {
    /// For listeners, queues of events, the log, Redis, names being resolved, and what operators ask.
    private static let reserve = 64
    /// Connections of the gateway's own calls to each service.
    static let ownConnections = 4

    let files: Int
    /// Beside clients.
    let others: Int
    /// Clients that the settings allow.
    let wanted: Int

    init(files: Int, configuration: GatewayConfiguration) {
        self.files = files
        let addresses = configuration.policy.upstreams.values.reduce(0) { $0 + $1.count }
        // Each event loop has an epoll, an eventfd, a timer, and a connection to Redis.
        others =
            addresses * (configuration.eventLoops * configuration.upstreamLimits.connections + Self.ownConnections)
            + 4 * configuration.eventLoops + Self.reserve
            // Those in the handshake are no clients yet.
            + (configuration.certificateFiles == nil ? 0 : configuration.handshakeLimit * configuration.eventLoops)
        wanted = configuration.policy.connectionLimit
    }

    var needed: Int { wanted + others }

    /// Clients at once. Connections to services are opened as they are needed, so where files are few clients still get half.
    var connections: Int { min(wanted, max(files - others, files / 2, 1)) }

    /// What an operator is to know of it; `nil` when there is room for all.
    var shortfall: String? {
        guard connections < wanted else { return nil }
        return "\(files) files may be open; \(wanted) clients and \(others) of the gateway's own need \(needed), so \(connections) clients "
            + "are let in. Raise the hard limit (ulimit -Hn, LimitNOFILE) or lower MARTLET_CONNECTIONS"
    }

    /// Lets the process open as many as it may.
    ///
    /// - Returns: How many that is.
    static func raise() -> Int {
        #if canImport(Glibc)
            let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
            let files = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(files, &limit) == 0 else { return .max }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(files, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}
