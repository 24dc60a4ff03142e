/// One step of a schema's history. Once it has landed its text never changes; the checksum holds it to that.
public struct Migration: Sendable, Hashable {
    /// Which list it belongs to, such as `foundation` or `crm`; each counts for itself.
    public var set: String
    /// Its place in the list, from 1.
    public var version: Int
    /// What it does: `create_leads`.
    public var name: String
    /// Any number of statements, run in one transaction with the schema as the search path; or, behind ``outsideMark``, one that
    /// runs outside of a transaction.
    public var sql: String

    /// The first line of a migration whose one statement runs outside of a transaction, so that requests need not wait for it: an index
    /// is built while the table is written, rows are changed some at a time. It may be cut off at any moment, so it is one that can be
    /// run again (``repeatable``).
    public static let outsideMark = "-- martlet: outside of a transaction"
    /// How the statement behind ``outsideMark`` begins.
    public static let repeatable = [
        "create index concurrently if not exists", "create unique index concurrently if not exists",
        "drop index concurrently if exists", "call",
    ]

    public init(set: String, version: Int, name: String, sql: String) {
        self.set = set
        self.version = version
        self.name = name
        self.sql = sql
    }
}

extension Migration {
    var isOutsideTransaction: Bool { sql.split(separator: "\n", maxSplits: 1).first.map { $0 == Self.outsideMark } ?? false }

    /// Whether the first statement is one of ``repeatable``.
    var canBeRepeated: Bool {
        let lines = sql.split(separator: "\n").drop { $0.hasPrefix("--") }
        let words = lines.joined(separator: " ").lowercased().split(separator: " ").joined(separator: " ")
        return Self.repeatable.contains { words.hasPrefix($0 + " ") }
    }
}

extension Migration: CustomStringConvertible {
    /// `crm 0003_create_leads`
    public var description: String { "\(set) \(stem)" }

    /// `crm.0003_create_leads`, the id of the request that changes it makes are recorded under; of 64 characters at most, as all are.
    var requestID: String { String("\(set).\(stem)".prefix(64)) }

    private var stem: String {
        let digits = String(version)
        return "\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)_\(name)"
    }
}

/// What a migrator is doing.
public enum MigrationProgress: Sendable {
    case applied(Migration)
    /// Others hold a lock that it needs. It tries again, and again, and lets them through in between.
    case waiting(Migration)
}

/// Why migrations were not applied. Nothing was changed, except by the migrations before a ``failed(_:_:)`` one.
public enum MigrationError: Error, CustomStringConvertible {
    /// A folder or a list is not what it must be.
    case malformed(String)
    /// The database was migrated with something else than what is at hand.
    case diverged(String)
    /// There was no connection: the server does not answer yet, or does not know the role or the database.
    case notConnected(String)
    /// The server refused what is done around the migrations, or was lost meanwhile.
    case server(String)
    /// A migration was refused by the server and rolled back.
    case failed(Migration, String)

    /// Safe for a log: of what the server said it has the SQLSTATE, the names of table and constraint, and for a syntax error
    /// or an unknown name the message; nothing that repeats a row's values.
    public var description: String {
        switch self {
        case .malformed(let reason): "migrations are malformed: \(reason)"
        case .diverged(let reason): "the database has another history: \(reason)"
        case .notConnected(let reason), .server(let reason): "migrating: \(reason)"
        case .failed(let migration, let reason): "migration \(migration) failed: \(reason)"
        }
    }
}
