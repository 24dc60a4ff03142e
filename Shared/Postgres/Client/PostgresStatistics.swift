/// What a client does at the moment and has done so far, for metrics.
public struct PostgresStatistics: Sendable, Equatable {
    /// Connections of the fast lane that are up.
    public var fastConnections = 0
    /// Connections of the bulk lane that are up, checked out or not.
    public var bulkConnections = 0
    /// Transactions and sessions that hold a connection.
    public var checkouts = 0
    /// Batches sent and not yet answered in full.
    public var inFlight = 0
    /// Batches on the most loaded connection.
    public var greatestDepth = 0
    /// Callers that wait for a connection.
    public var waiting = 0
    /// Batches sent since the start.
    public var batches = 0
    /// Statements sent since the start, without those that set the context.
    public var statements = 0
    /// Connections made in place of lost ones since the start.
    public var reconnects = 0
    /// Callers refused because too many waited, since the start.
    public var overloads = 0
    /// Callers whose deadline passed, since the start.
    public var timeouts = 0

    static func + (left: Self, right: Self) -> Self {
        Self(
            fastConnections: left.fastConnections + right.fastConnections, bulkConnections: left.bulkConnections + right.bulkConnections,
            checkouts: left.checkouts + right.checkouts, inFlight: left.inFlight + right.inFlight,
            greatestDepth: max(left.greatestDepth, right.greatestDepth), waiting: left.waiting + right.waiting,
            batches: left.batches + right.batches, statements: left.statements + right.statements,
            reconnects: left.reconnects + right.reconnects, overloads: left.overloads + right.overloads,
            timeouts: left.timeouts + right.timeouts)
    }
}
