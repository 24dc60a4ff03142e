import CLibPQ
import Core

/// Why a batch, a transaction or a conversion failed.
///
/// ``description`` is safe for any log; the server's words, which may hold a row's values, are only in ``debugDescription``.
public struct PostgresError: Error, Sendable {
    public enum Kind: Sendable, Hashable {
        /// The server refused a statement, with the SQLSTATE of Postgres's appendix A. Nothing of the batch was kept.
        case server(sqlState: String)
        /// The connection ended while the batch was on its way. When it may have committed, only a look at the data can tell.
        case connectionLost(mayHaveCommitted: Bool)
        /// The caller's deadline passed; what was sent may still take effect.
        case deadlineExceeded
        /// The caller's task was cancelled; what was sent may still take effect.
        case cancelled
        /// The queue of waiting callers is full. Nothing was sent.
        case overloaded
        /// There was no connection for as long as the configuration lets a caller wait, or the client has ended. Nothing was sent.
        case notConnected
        /// A value could not be sent or read as the type asked for.
        case invalidValue
        /// The batch is known to keep others waiting on a shared connection; the client runs it on one of its own. Nothing was sent.
        case mustRunAlone(isLong: Bool)
    }

    public var kind: Kind
    /// Which of the batch's statements failed, counted from 0; `nil` when the failure belongs to none, as at commit.
    public var statementIndex: Int?
    /// The constraint that was violated, where the server names one.
    public var constraint: String?
    /// The table that the failure belongs to, where the server names one.
    public var table: String?
    /// The column that the failure belongs to, where the server or a trigger names one.
    public var column: String?
    /// For a debugger only: may hold a row's values.
    public var message: String?
    /// For a debugger only: may hold a row's values.
    public var detail: String?

    public init(_ kind: Kind, statementIndex: Int? = nil, constraint: String? = nil, table: String? = nil, message: String? = nil) {
        self.kind = kind
        self.statementIndex = statementIndex
        self.constraint = constraint
        self.table = table
        self.message = message
    }

    /// Reads what a failed statement's `PGresult` tells.
    init(result: ResultHandle, statementIndex: Int?) {
        func field(_ code: Character) -> String? {
            // The code is one of libpq's PG_DIAG_ constants, all of which are ASCII letters.
            PQresultErrorField(result.pointer, Int32(code.asciiValue!)).map { String(cString: $0) }
        }
        self.init(
            .server(sqlState: field("C") ?? "XX000"), statementIndex: statementIndex, constraint: field("n"), table: field("t"),
            message: field("M"))
        self.column = field("c")
        self.detail = field("D")
    }

    public var sqlState: String? { if case .server(let sqlState) = kind { sqlState } else { nil } }

    /// Whether the server could not be reached, was lost or was too busy, rather than having refused something: trying again may help.
    public var isOutage: Bool {
        switch kind {
        case .connectionLost, .deadlineExceeded, .notConnected, .overloaded: true
        // Shutting down, starting up; no room or no connection; a disk that fails; a statement or a lock that took too long.
        case .server(let sqlState):
            sqlState.hasPrefix("57P") || sqlState.hasPrefix("53") || ["58030", "57014", "55P03"].contains(sqlState)
        case .cancelled, .invalidValue, .mustRunAlone: false
        }
    }

    public var isUniqueViolation: Bool { sqlState == "23505" }
    public var isForeignKeyViolation: Bool { sqlState == "23503" }
    /// Whether the transaction and others waited for each other in a circle: this one was failed, and succeeds when it is run again.
    public var isDeadlock: Bool { sqlState == "40P01" }

    /// What a caller of the API is told when the store gives the failure no meaning of its own.
    public var problem: Problem {
        switch kind {
        case .server("40001"), .server("40P01"):
            // Two transactions that each waited for the other, or could not both be first; one of them went on.
            var problem = Problem.raced
            (problem.context, problem.underlying) = (description, self)
            return problem
        case .connectionLost, .notConnected, .server("25006"):
            return Problem(
                .upstreamUnavailable, "The database is not available at the moment.", retryAfter: 1, context: description,
                underlying: self)
        case .server("53100"), .server("53200"), .server("58030"):
            return Problem(
                .upstreamUnavailable, "The database has no room at the moment.", retryAfter: 5, context: description, underlying: self)
        case .overloaded, .server("53300"), .server("53400"):
            return Problem(.overloaded, "Too much work is waiting.", retryAfter: 1, context: description, underlying: self)
        case .deadlineExceeded, .cancelled, .server("57014"), .server("55P03"):
            return Problem(.deadlineExceeded, "The database did not answer in time.", context: description, underlying: self)
        case .server("22021"), .server("22P05"):
            return Problem(
                .validationFailed, "A text holds a character that cannot be stored.", context: description, underlying: self)
        case .server, .invalidValue, .mustRunAlone:
            return .internal(description, underlying: self)
        }
    }
}

extension PostgresError: CustomStringConvertible, CustomDebugStringConvertible {
    public var description: String {
        var text =
            switch kind {
            case .server(let sqlState): "postgres refused a statement with \(sqlState)"
            case .connectionLost(let mayHaveCommitted):
                mayHaveCommitted ? "postgres connection lost, outcome unknown" : "postgres connection lost, nothing kept"
            case .deadlineExceeded: "postgres did not answer before the deadline"
            case .cancelled: "cancelled while waiting for postgres"
            case .overloaded: "too many callers wait for postgres"
            case .notConnected: "no connection to postgres"
            case .invalidValue: "a value does not fit its postgres type"
            case .mustRunAlone: "the batch must run on a connection of its own"
            }
        if let constraint { text += ", constraint \(constraint)" }
        if let table { text += ", table \(table)" }
        if let statementIndex { text += ", statement \(statementIndex)" }
        return text
    }

    /// For a migration's log. The message joins for class 42 alone, where it speaks of names and syntax: those of other classes
    /// repeat the values of rows that a migration meets, and the detail does in any class.
    var migrationDescription: String {
        guard let sqlState, sqlState.hasPrefix("42"), let message else { return description }
        return "\(description): \(message)"
    }

    public var debugDescription: String {
        description + (message.map { ": \($0)" } ?? "") + (detail.map { " (\($0))" } ?? "")
    }
}
