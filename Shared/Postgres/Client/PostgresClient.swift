import Core
import Logging
import ServiceLifecycle
import Synchronization

/// A client of one Postgres database for many callers at once.
///
/// The fast lane sends each batch over one of a few shared connections in pipeline mode, so that hundreds of callers need no
/// connection of their own. A connection of the bulk lane is checked out by one caller, for transactions that must think between
/// statements. Threads and connections start with ``run()`` or the first use.
public final class PostgresClient: Service, Sendable {
    private let reactors: [Reactor]
    private let connector: Connector
    private let reactorExecutor: ReactorExecutor
    /// The first ones have connections of the bulk lane.
    private let bulkReactors: Int
    private let bulkTurn = Atomic(0)

    /// Connects to nothing yet.
    public init(configuration: PostgresConfiguration, logger: Logger) {
        let connector = Connector(configuration: configuration, logger: logger)
        let fast = max(1, configuration.fastConnections)
        let threads = min(max(1, configuration.reactorThreads), fast)
        self.connector = connector
        let bulk = max(0, configuration.bulkConnections)
        // Two each at least, where there are so many: a tenant may have half of a thread's, and another must find one there.
        let bulkThreads = min(threads, max(1, bulk / 2))
        let reactors = (0..<threads).map { thread in
            func share(_ total: Int, of threads: Int) -> Int { thread < threads ? total / threads + (thread < total % threads ? 1 : 0) : 0 }
            return Reactor(
                configuration: configuration, connector: connector, fastConnections: share(fast, of: threads),
                bulkConnections: share(bulk, of: bulkThreads))
        }
        self.reactors = reactors
        bulkReactors = bulkThreads
        reactorExecutor = ReactorExecutor(reactors)
    }

    deinit {
        for reactor in reactors { reactor.push(.shutDown(drain: false)) }
        connector.stop()
    }

    /// Keeps connections open, replacing lost ones, until a graceful shutdown, when it lets those who wait finish, or until its
    /// task is cancelled, when it does not. After that every call fails with `notConnected`.
    public func run() async throws {
        for reactor in reactors { reactor.start() }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                for reactor in reactors { await reactor.waitForEnd() }
            } onGracefulShutdown: {
                for reactor in self.reactors { reactor.push(.shutDown(drain: true)) }
            }
        } onCancel: {
            for reactor in reactors { reactor.push(.shutDown(drain: false)) }
        }
        connector.stop()
    }

    /// How long a batch is expected to run.
    public enum Pace: Sendable {
        /// A few milliseconds: it begins on a shared connection.
        case short
        /// Longer, or nobody knows: an exact count, a search among many rows. It has a connection of its own from the start.
        case long
    }

    /// Runs the statements as one transaction in one round trip, in the name of the context's tenant, user and request.
    ///
    /// The statements cannot see each other's results; a failing one undoes them all. A batch that runs longer than
    /// ``PostgresConfiguration/fastStatementTimeout`` or meets a lock for longer than ``PostgresConfiguration/fastLockTimeout`` is run
    /// once more, on a connection of the bulk lane by itself, of which its tenant has a share. Ends at the context's deadline, when
    /// the task is cancelled or, on the bulk lane, when the client has gone (``Presence``), and then the batch may or may not take effect.
    /// - Returns: One result for each statement.
    /// - Throws: ``PostgresError``.
    public func batch(as context: RequestContext, pace: Pace = .short, _ statements: [SQL]) async throws -> [PostgresResult] {
        try await batch(ContextSettings.sql(for: context), statements, pace, tenant: context.tenant, context.edge)
    }

    /// Runs the statements as one transaction in one round trip, in the name of no tenant. As ``batch(as:pace:_:)-(RequestContext,_,_)``.
    public func batch(as context: SystemContext, pace: Pace = .short, _ statements: [SQL]) async throws -> [PostgresResult] {
        try await batch(ContextSettings.sql(for: context), statements, pace, tenant: nil, context.edge)
    }

    private func batch(
        _ settings: SQL, _ statements: [SQL], _ pace: Pace, tenant: TenantID?, _ edge: EdgeContext
    ) async throws -> [PostgresResult] {
        for statement in statements { try statement.validate() }
        let deadline = edge.deadline.monotonic
        let presence = edge.presence
        let bulkReactor = nextBulkReactor
        var isLong = pace == .long
        if pace == .short || !bulkReactor.hasBulkLane {
            let reactor = nextReactor
            do {
                return try await reactor.run(Request(settings: settings, statements: statements, deadline: deadline, tenant: tenant))
            } catch let error as PostgresError where error.mayRunAlone && bulkReactor.hasBulkLane {
                // Nothing of the batch was kept. Where it takes its time now, it holds up nobody else.
                let fault = error.sharingFault(of: statements)
                if let tenant, let fault { reactor.push(.learn(fault, tenant)) }
                if case .ranLong = fault { isLong = true }
                if case .mustRunAlone(isLong: true) = error.kind { isLong = true }
            }
        }
        let connection = CheckedOutConnection(checkout: Checkout(tenant: tenant, isLong: isLong), reactor: bulkReactor)
        // The one transaction has ended by then, or the checkout is spoilt and the connection closed.
        defer { connection.release(isClean: true) }
        return try await bulkReactor.run(
            Request(
                settings: settings, statements: statements, deadline: deadline, checkout: connection.checkout, isCheckingOut: true,
                hasLeft: presence?.hasLeft))
    }

    /// Whether a connection of the fast lane is up, without asking the server.
    public var isReady: Bool { statistics.fastConnections > 0 }

    /// Asks the server for a sign of life, for at most 2 s.
    ///
    /// - Throws: ``PostgresError``.
    public func ready() async throws {
        _ = try await batch(as: SystemContext(service: "ready", timeout: .seconds(2)), ["select 1"])
    }

    public var statistics: PostgresStatistics {
        reactors.reduce(PostgresStatistics()) { $0 + $1.statistics }
    }

    /// The threads that drive the connections, for tasks that do little between their statements: such a task's requests need no
    /// other thread to wake up, neither on their way out nor back. What it does between them delays other callers, so it must not
    /// block or compute for long.
    public var executor: any TaskExecutor { reactorExecutor }

    /// The one whose thread this is, else the next in turn.
    var nextReactor: Reactor { reactorExecutor.nextReactor }

    /// The one whose thread this is, or the next in turn, of those that have connections of the bulk lane; the first when it has none.
    var nextBulkReactor: Reactor {
        let reactor = nextReactor
        return reactor.hasBulkLane ? reactor : reactors[bulkTurn.add(1, ordering: .relaxed).oldValue % bulkReactors]
    }
}

extension Timestamp {
    /// The instant on the monotonic clock, in nanoseconds.
    var monotonic: Int64 { monotonicNow() + timeLeft.nanoseconds }
}

extension PostgresError {
    /// Whether a batch that failed so on a shared connection may succeed on one of its own.
    fileprivate var mayRunAlone: Bool {
        if case .mustRunAlone = kind { return true }
        return sqlState == "55P03" || sqlState == "57014"
    }

    /// What is to be remembered of the batch, if anything new.
    fileprivate func sharingFault(of statements: [SQL]) -> SharingFault? {
        switch sqlState {
        case "55P03": .waitedForLock
        case "57014": statementIndex.map { .ranLong(statements[$0].text.hashValue) }
        default: nil
        }
    }
}

extension SQL {
    /// Refuses what would reach the server cut short (a text ends at its first NUL) or not at all.
    func validate() throws(PostgresError) {
        guard binds.count <= 65_535 else { throw PostgresError(.server(sqlState: "54023"), message: "too many binds") }
        for case .text(let text) in binds where text.utf8.contains(0) {
            throw PostgresError(.server(sqlState: "22021"), message: "a text holds a NUL character")
        }
    }
}
