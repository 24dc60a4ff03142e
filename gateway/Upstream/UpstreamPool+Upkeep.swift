import Core
import NIOCore
import NIOPosix

/// What keeps a pool's addresses and connections as they should be.
extension UpstreamPool {
    /// Addresses of a service that are used; labels of metrics are made of them.
    static let addressLimit = 64
    private static let idleLimit = TimeAmount.seconds(30)
    private static let connectTimeout = TimeAmount.seconds(2)
    private static let lookupInterval = TimeAmount.seconds(10)
    private static let shortestLookupInterval = TimeAmount.seconds(1)

    static var wallClockSecond: Int { Int(Timestamp.now.milliseconds / 1000) }

    // MARK: Addresses

    /// Takes other names for the old ones, as when the settings are read again.
    func update(addresses: [UpstreamAddress]) {
        guard addresses != names else { return }
        names = addresses
        nextLookup = .now()
        takeLiterals()
        lookUp(now: .now())
    }

    /// Addresses that are given as such need no lookup, and are there from the start.
    func takeLiterals() {
        let literals = names.compactMap(\.literal)
        guard literals.count == names.count else { return }
        isStarting = false
        nextLookup = .distantFuture
        take(literals)
    }

    /// Looks the names up, and again after a while. As long as one of them is not found all addresses stay that there were.
    func lookUp(now: NIODeadline) {
        guard !isLookingUp, !isClosed, nextLookup != .distantFuture else { return }
        isLookingUp = true
        nextLookup = now + Self.lookupInterval
        let asked = names
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        lookup.find(asked.filter { $0.literal == nil }, on: eventLoop).whenComplete { result in
            let pool = bound.value
            pool.isLookingUp = false
            guard pool.names == asked else { return pool.lookUp(now: .now()) }
            pool.isStarting = false
            var isWhole = true
            var addresses = asked.compactMap(\.literal)
            for (_, found) in (try? result.get()) ?? [] {
                if found.isEmpty { isWhole = false }
                addresses += found
            }
            if isWhole { pool.take(addresses) } else { pool.keep(adding: addresses) }
            pool.serveAllWaiting(now: .now())
        }
    }

    private func keep(adding addresses: [SocketAddress]) {
        figures.failedLookups += 1
        take(endpoints.map(\.address) + addresses)
        nextLookup = .now() + Self.shortestLookupInterval
    }

    /// New addresses join; requests at those that are gone end, and none begins there.
    private func take(_ addresses: [SocketAddress]) {
        var old = Dictionary(endpoints.map { ($0.address, $0) }) { first, _ in first }
        var seen = Set<SocketAddress>()
        // In their order before the rest is left out, or each lookup would leave out others.
        endpoints = addresses.filter { seen.insert($0).inserted }.sorted { "\($0)" < "\($1)" }.prefix(Self.addressLimit)
            .map { old.removeValue(forKey: $0) ?? UpstreamEndpoint($0, places: limits.ordinary.places) }
            .sorted { $0.figures.address < $1.figures.address }
        for endpoint in old.values {
            endpoint.isRetired = true
            while let connection = endpoint.idle.last { connection.close() }
        }
    }

    // MARK: Connections

    /// Opens a connection, for whoever is first when it is there.
    ///
    /// - Returns: Whether there was room for it.
    @discardableResult func connect(_ endpoint: UpstreamEndpoint, now: NIODeadline, for probe: HealthProbe? = nil) -> Bool {
        if endpoint.connections >= limits.connections {
            // Idle for so long that the requests that wait cannot be sent on it.
            guard let oldest = endpoint.idle.first else { return false }
            endpoint.idle.removeFirst()
            // Its place is for the new one, and for nobody who waits.
            oldest.isDetached = true
            endpoint.connections -= 1
            oldest.close()
        }
        endpoint.connectBegan(now: now)
        let bound = NIOLoopBound((pool: self, endpoint: endpoint, probe: probe), eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (pool, endpoint, _) = bound.value
                    let connection = UpstreamConnection(endpoint: endpoint, pool: pool, usableUntil: .now() + pool.lifetime())
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
            .connect(to: endpoint.address)
            .whenComplete { result in
                // Later in any case: where not even a socket can be made it fails at once, in the midst of who asked for it.
                bound.eventLoop.execute {
                    let (pool, endpoint, probe) = bound.value
                    endpoint.connectEnded(now: .now())
                    switch result {
                    case .success(let channel):
                        let connection = try? channel.pipeline.syncOperations.handler(type: UpstreamConnection.self)
                        pool.connected(connection, for: probe)
                    case .failure:
                        endpoint.connections -= 1
                        pool.connectFailed(endpoint, for: probe)
                    }
                }
            }
        return true
    }

    private func connected(_ connection: UpstreamConnection?, for probe: HealthProbe?) {
        // Closed again already: `detached` has counted it.
        guard let connection, !connection.isDetached else {
            probe?.connectFailed()
            return
        }
        guard let probe else { return release(connection, now: .now()) }
        guard probe.isWaiting else { return connection.close() }
        connection.begin(probe)
        probe.upstreamReady(connection)
    }

    /// The address may be gone. Requests that wait go to another, or are told that there is none.
    private func connectFailed(_ endpoint: UpstreamEndpoint, for probe: HealthProbe?) {
        let now = NIODeadline.now()
        if let probe {
            probe.connectFailed()
        } else {
            endpoint.figures.failedConnects += 1
            lose(endpoint, endpoint.health.connectFailed())
        }
        if nextLookup != .distantFuture { nextLookup = min(nextLookup, now + Self.shortestLookupInterval) }
        serveAllWaiting(now: now)
    }

    /// Connections end after a while, or a process that was added behind an address would get none under a steady load; not all at once.
    private func lifetime() -> TimeAmount { .nanoseconds(Int64(Double(limits.connectionAge.nanoseconds) * .random(in: 0.75...1.25))) }

    func closeIdle(before now: NIODeadline) {
        for endpoint in endpoints {
            while let oldest = endpoint.idle.first, now - oldest.idleSince > Self.idleLimit { oldest.close() }
        }
    }

    // MARK: Health

    /// A request was not answered as it should.
    func requestFailed(at endpoint: UpstreamEndpoint) {
        endpoint.figures.failedRequests += 1
        lose(endpoint, endpoint.health.requestFailed())
    }

    private func lose(_ endpoint: UpstreamEndpoint, _ action: UpstreamHealth.Action) {
        if action != .none { endpoint.figures.losses += 1 }
        follow(action, at: endpoint)
    }

    private func follow(_ action: UpstreamHealth.Action, at endpoint: UpstreamEndpoint) {
        guard case .probe(let pause) = action else { return }
        let bound = NIOLoopBound((pool: self, endpoint: endpoint), eventLoop: eventLoop)
        eventLoop.scheduleTask(in: pause) {
            let (pool, endpoint) = bound.value
            if !pool.isClosed, !endpoint.isRetired { pool.probe(endpoint) }
        }
    }

    private func probe(_ endpoint: UpstreamEndpoint) {
        let probe = HealthProbe { [self] isBack in
            guard isBack else {
                endpoint.figures.failedProbes += 1
                return follow(endpoint.health.probeFailed(), at: endpoint)
            }
            endpoint.health.probeSucceeded()
            serveAllWaiting(now: .now())
        }
        probe.start(on: eventLoop)
        if !connect(endpoint, now: .now(), for: probe) { probe.connectFailed() }
    }
}
