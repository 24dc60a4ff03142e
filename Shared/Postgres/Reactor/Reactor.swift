import Core
import Glibc
import Synchronization

/// Why a batch had to leave a shared connection.
enum SharingFault: Sendable {
    /// It waited for a lock.
    case waitedForLock
    /// The statement with this hash of its text ran too long.
    case ranLong(Int)
}

/// A thread that drives a share of the client's connections, as other threads see it: an inbox.
///
/// Callers that come while the thread is busy find it awake and cost no system call; it takes them all in its next turn.
final class Reactor: Sendable {
    enum Command {
        case submit(Request, Request.Continuation)
        case cancel(Request)
        case release(Checkout, isClean: Bool)
        /// A batch of the tenant kept others waiting on a shared connection.
        case learn(SharingFault, TenantID)
        case connected(Int, ConnectionHandle)
        case shutDown(drain: Bool)
        /// A piece of a task that prefers the client's executor.
        case work(UnownedJob, UnownedTaskExecutor)
    }

    private struct Inbox {
        var commands: [Command] = []
        var isAsleep = false
        var isStarted = false
        var isEnded = false
        var endWaiters: [CheckedContinuation<Void, Never>] = []
    }

    let poller = Poller()
    private let inbox = Mutex(Inbox())
    private let published = Mutex(PostgresStatistics())
    private let configuration: PostgresConfiguration
    private let connector: Connector
    private let fastConnections: Int
    private let bulkConnections: Int

    init(configuration: PostgresConfiguration, connector: Connector, fastConnections: Int, bulkConnections: Int) {
        self.configuration = configuration
        self.connector = connector
        self.fastConnections = fastConnections
        self.bulkConnections = bulkConnections
    }

    var hasBulkLane: Bool { bulkConnections > 0 }
    func lane(of index: Int) -> Lane { index < fastConnections ? .fast : .bulk }

    var statistics: PostgresStatistics { published.withLock { $0 } }
    func publish(_ statistics: PostgresStatistics) { published.withLock { $0 = statistics } }

    /// Starts the thread if that has not happened yet.
    func start() {
        let mustStart = inbox.withLock { inbox in
            if inbox.isStarted || inbox.isEnded { return false }
            inbox.isStarted = true
            return true
        }
        if mustStart { launch() }
    }

    private func launch() {
        startThread { [self] in
            Self.current = self
            ReactorLoop(
                reactor: self, connector: connector, configuration: configuration, fastConnections: fastConnections,
                bulkConnections: bulkConnections
            ).run()
        }
    }

    private enum Handover { case none, wakeUp, launch, refused }

    /// Hands a command to the thread, which the first one starts. Refused after the end.
    func push(_ command: Command) {
        let handover: Handover = inbox.withLock { inbox in
            if inbox.isEnded { return .refused }
            inbox.commands.append(command)
            if !inbox.isStarted {
                inbox.isStarted = true
                return .launch
            }
            if !inbox.isAsleep { return .none }
            inbox.isAsleep = false
            return .wakeUp
        }
        switch handover {
        case .none: break
        case .wakeUp: poller.wakeUp()
        case .launch: launch()
        case .refused:
            switch command {
            case .submit(_, let continuation): continuation.resume(throwing: PostgresError(.notConnected))
            // A task goes on after the client has ended.
            case .work(let job, _): globalConcurrentExecutor.enqueue(job)
            default: break
            }
        }
    }

    /// Runs a request and waits for its answer; cancelling the task answers at once.
    func run(_ request: Request) async throws -> [PostgresResult] {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { push(.submit(request, $0)) }
        } onCancel: {
            push(.cancel(request))
        }
    }

    /// Returns when the thread has ended or was never started; it ends after a `shutDown`.
    func waitForEnd() async {
        await withCheckedContinuation { continuation in
            let isEnded = inbox.withLock { inbox in
                if !inbox.isStarted { inbox.isEnded = true }
                if !inbox.isEnded { inbox.endWaiters.append(continuation) }
                return inbox.isEnded
            }
            if isEnded { continuation.resume() }
        }
    }

    // MARK: For the thread

    // Made once, never deleted; the system has over a thousand.
    private static let currentKey: pthread_key_t = {
        var key = pthread_key_t()
        guard pthread_key_create(&key, nil) == 0 else { fatalError("no thread-specific key is left") }
        return key
    }()

    /// The reactor whose thread this is; `nil` on any other. The thread keeps its reactor alive.
    private(set) static var current: Reactor? {
        get { pthread_getspecific(currentKey).map { Unmanaged<Reactor>.fromOpaque($0).takeUnretainedValue() } }
        set { pthread_setspecific(currentKey, newValue.map { Unmanaged.passUnretained($0).toOpaque() }) }
    }

    /// Exchanges the emptied list for the commands that came in. With none, the next push wakes the thread up.
    func take(into commands: inout [Command]) {
        inbox.withLock { inbox in
            swap(&inbox.commands, &commands)
            inbox.isAsleep = commands.isEmpty
        }
    }

    /// Refuses what comes from now on, and gives what has come.
    func end() -> [Command] {
        let (commands, waiters) = inbox.withLock { inbox in
            inbox.isEnded = true
            return (inbox.commands, inbox.endWaiters)
        }
        for waiter in waiters { waiter.resume() }
        return commands
    }
}
