import Core

/// Which connections a request may use.
enum Lane: Sendable, Hashable {
    case fast
    case bulk
}

/// One caller's batch on its way through the reactor.
// Unchecked: the constants are set before it is handed over, and nobody but the reactor's thread touches the variables.
final class Request: @unchecked Sendable {
    enum State {
        case new
        case waiting
        /// Has its connection, and is sent at the end of the present turn of the loop.
        case outgoing
        case sent
        /// The caller has been answered; answers still to come are dropped.
        case finished
    }

    typealias Continuation = CheckedContinuation<[PostgresResult], any Error>

    /// Runs before the statements and in their transaction; its answer is not handed out.
    let settings: SQL?
    let statements: [SQL]
    /// Nanoseconds of the monotonic clock.
    let deadline: Int64
    /// In whose name; `nil` for the service's own work, which no share binds.
    let tenant: TenantID?
    /// The checkout whose connection is to be used; `nil` in the fast lane.
    let checkout: Checkout?
    /// The request takes a free connection of the bulk lane for its checkout.
    let isCheckingOut: Bool
    /// Whether the caller's own client has gone, so that nobody waits for the answer. Asked of the bulk lane's requests only.
    let hasLeft: (@Sendable () -> Bool)?
    /// Whether the sync makes the statements last: not so inside a transaction that is still open.
    let commits: Bool

    var state = State.new
    /// What its tenant has under way, while the request is on a connection of the fast lane.
    var load: TenantLoad?
    /// When it began to wait, nanoseconds of the monotonic clock.
    var waitingSince: Int64 = 0
    var continuation: Continuation?
    var results: [PostgresResult] = []
    var failure: PostgresError?
    /// Its sync was handed to libpq, so the server may come to commit it.
    var hasSync = false
    /// The failure came as the sync's answer.
    var failedAtSync = false

    init(
        settings: SQL?, statements: [SQL], deadline: Int64, tenant: TenantID? = nil, checkout: Checkout? = nil, isCheckingOut: Bool = false,
        hasLeft: (@Sendable () -> Bool)? = nil, commits: Bool = true
    ) {
        self.settings = settings
        self.statements = statements
        self.deadline = deadline
        self.tenant = checkout?.tenant ?? tenant
        self.checkout = checkout
        self.isCheckingOut = isCheckingOut
        self.hasLeft = hasLeft
        self.commits = commits
    }

    /// Whether no statement changes anything, as its first word tells. It decides about places only, so a `select` that does change
    /// something after all costs time and nothing else.
    var isRead: Bool { statements.allSatisfy { $0.text.utf8.starts(with: "select".utf8) || $0.text.utf8.first == UInt8(ascii: "(") } }

    /// Answers the caller, once; what comes later is ignored.
    func finish(throwing error: PostgresError) {
        state = .finished
        results = []
        continuation.take()?.resume(throwing: error)
    }

    /// Answers the caller with the results or the failure collected so far.
    func finish() {
        if let failure { return finish(throwing: failure) }
        state = .finished
        continuation.take()?.resume(returning: results)
    }
}

/// The claim of one transaction or session to a connection of the bulk lane.
// Unchecked: nobody but the reactor's thread touches the variables.
final class Checkout: @unchecked Sendable {
    /// In whose name; of one tenant's checkouts only so many get a connection. `nil` for the service's own work.
    let tenant: TenantID?
    /// It is taken for a batch that runs long, of which a tenant has fewer at a time.
    let isLong: Bool
    /// What its tenant has under way, while the checkout has a connection.
    var load: TenantLoad?
    /// The connection while the checkout lasts.
    var connection: Connection?
    /// A request was given up while its answer was still to come, or the connection was lost: it must not be used again.
    var isSpoilt = false

    init(tenant: TenantID?, isLong: Bool = false) {
        self.tenant = tenant
        self.isLong = isLong
    }
}
