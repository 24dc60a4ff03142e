import NIOCore

/// One address of a service, as one event loop sees it.
final class UpstreamEndpoint {
    let address: SocketAddress
    var health = UpstreamHealth()
    var concurrency: ConcurrencyLimit
    var figures: UpstreamFigures.Endpoint
    /// Connections that wait for a request; the last one used is used next, so that the others can grow old and close.
    var idle: [UpstreamConnection] = []
    /// Connections whose answer is not read at the moment, as the client does not take it; the longest first.
    var paused: [UpstreamConnection] = []
    /// Open or being opened.
    var connections = 0
    private(set) var connecting = 0
    private var connectingSince = NIODeadline.uptimeNanoseconds(0)
    /// Requests under way, by lane.
    private(set) var inUse = [Int](repeating: 0, count: UpstreamLane.allCases.count)
    /// Ordinary requests whose answer has not begun: what the service works on.
    var awaited = 0
    /// When a process behind it last said that it stops.
    private(set) var goodbyeAt: NIODeadline?
    /// The same, until an answer tells that the process, another behind the address, or its successor, stays.
    private var leavingSince: NIODeadline?
    /// Whether the name no longer has it: requests under way end, none begins.
    var isRetired = false

    /// How long an address that said goodbye is passed over where there is another: longer than services drain, or a request
    /// would come just as the port closes.
    private static let leavingPause = TimeAmount.seconds(10)
    /// A connection that takes longer to be made keeps nobody waiting for it.
    private static let connectPatience = TimeAmount.milliseconds(200)

    init(_ address: SocketAddress, places: Int) {
        self.address = address
        concurrency = ConcurrencyLimit(ceiling: places)
        figures = UpstreamFigures.Endpoint(address: Self.text(address))
    }

    private static func text(_ address: SocketAddress) -> String {
        let host = address.ipAddress ?? "?"
        return (host.contains(":") ? "[\(host)]" : host) + ":\(address.port ?? 0)"
    }

    var active: Int { inUse.reduce(connecting, +) }

    func isLeaving(now: NIODeadline) -> Bool { leavingSince.map { now - $0 < Self.leavingPause } ?? false }

    /// The upstream ended a connection with an answer, as a service does that was told to stop. Its other connections here end soon; which
    /// those are is not known, as several processes may stand behind one address.
    func saidGoodbye(now: NIODeadline) {
        goodbyeAt = now
        leavingSince = now
    }

    func stays() { leavingSince = nil }

    /// Whether requests can be sent there when there is a place: on a new connection, or on one of those that are open.
    var isUsable: Bool {
        switch health.state {
        case .healthy: !isRetired
        case .unreachable: connections > connecting
        case .ejected: false
        }
    }

    /// Whether the lane has a place for one more request.
    func hasPlace(_ lane: UpstreamLane, _ limits: UpstreamLimits) -> Bool { freePlaces(lane, limits) > 0 }

    func freePlaces(_ lane: UpstreamLane, _ limits: UpstreamLimits) -> Int {
        let free = limits[lane].places - inUse[lane.rawValue]
        guard lane == .ordinary else { return free }
        let unasked = concurrency.value - awaited
        if unasked <= 0 { concurrency.noteFull() }
        return min(free, unasked)
    }

    func began(_ lane: UpstreamLane) { inUse[lane.rawValue] += 1 }
    func ended(_ lane: UpstreamLane) { inUse[lane.rawValue] -= 1 }

    /// A connection that a request can be sent on.
    ///
    /// - Parameter mayBeRepeated: Whether it may be one that the upstream is perhaps closing just now.
    func idleConnection(mayBeRepeated: Bool, now: NIODeadline) -> UpstreamConnection? {
        while let connection = idle.last {
            guard connection.isOpen else {
                idle.removeLast()
                continue
            }
            // Those below it have been idle for longer still.
            return mayBeRepeated || connection.isFresh(now: now) ? connection : nil
        }
        return nil
    }

    func canConnect(now: NIODeadline) -> Bool {
        !isRetired && health.isHealthy && (connecting == 0 || now - connectingSince < Self.connectPatience)
    }

    func connectBegan(now: NIODeadline) {
        if connecting == 0 { connectingSince = now }
        connecting += 1
        connections += 1
    }

    func connectEnded(now: NIODeadline) {
        connecting -= 1
        connectingSince = now
    }
}
