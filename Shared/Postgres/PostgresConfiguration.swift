import CLibPQ

/// Where the server is, as whom to connect, and how much to ask of it at once.
public struct PostgresConfiguration: Sendable {
    /// A host name, an address, a directory with the server's Unix socket, or several separated by commas, of which the one
    /// that accepts writes is taken. Default `localhost`.
    public var host = "localhost"
    /// Default 5432.
    public var port = 5432
    public var database: String
    public var user: String
    /// Secret; `nil` when the server asks for none.
    public var password: String?
    /// libpq's `sslmode`: `disable`, `prefer` (default), `require`, `verify-ca`, `verify-full`.
    public var tlsMode = "prefer"
    /// A file with the certificates to trust, for `verify-ca` and `verify-full`.
    public var tlsRootCertificates: String?
    /// The schema on the search path, before `extensions`, where shared extensions are; `nil` leaves the role's own path.
    public var schema: String?
    /// Shown in `pg_stat_activity`. Default `martlet`.
    public var applicationName = "martlet"

    /// Connections of the fast lane, shared by all callers. Default 8, at least 1. One tenant is on half of a thread's
    /// share at a time, on three quarters while it is the only one.
    public var fastConnections = 8
    /// Connections of the bulk lane, checked out by one transaction, session or long batch at a time. Default 4; with 0 there are none of
    /// those. One tenant has at most half of a thread's share at a time, and a quarter for batches that run long, rounded down but at
    /// least 1; its others wait.
    public var bulkConnections = 4
    /// Threads that drive the connections; each has its share of them. Default 1.
    public var reactorThreads = 1

    /// The longest that one statement of the fast lane may run, as it holds up all batches behind it on its connection. Its batch is
    /// then repeated once on the bulk lane. Default 250 ms; without a bulk lane ``statementTimeout`` counts instead.
    public var fastStatementTimeout: Duration = .milliseconds(250)
    /// The longest that one statement of the bulk lane may run. Default 60 s; a caller's deadline may be sooner.
    public var statementTimeout: Duration = .seconds(60)
    /// The longest that a statement of the fast lane waits for a lock, as it holds up all batches behind it on its connection.
    /// Its batch is then repeated once on the bulk lane, and its tenant's writes go there for a second. Default 50 ms; without a bulk lane ``lockTimeout`` counts instead.
    public var fastLockTimeout: Duration = .milliseconds(50)
    /// The longest that a statement of the bulk lane waits for a lock. Default 2 s.
    public var lockTimeout: Duration = .seconds(2)
    /// The longest that a transaction of the bulk lane may think between two statements. Default 30 s.
    public var idleInTransactionTimeout: Duration = .seconds(30)
    /// The longest for one attempt to connect, in whole seconds, at least 2 s. Default 5 s.
    public var connectTimeout: Duration = .seconds(5)
    /// The longest that a caller waits while there is no connection at all. Default 2 s; its own deadline may be sooner.
    public var unavailableTimeout: Duration = .seconds(2)
    /// The longest that a graceful stop waits for callers to finish. Default 10 s.
    public var drainTimeout: Duration = .seconds(10)

    /// Batches on one fast connection at a time; bounds what one slow statement can delay. Default 64.
    public var maximumDepth = 64
    /// Callers that may wait for a connection, in each lane; one more is refused with `overloaded`, or the youngest of whichever tenant
    /// has more waiting. Default 2,048.
    public var maximumWaiting = 2048
    /// Statements kept prepared on one connection; when more come up, those that were not run for the longest time go. One takes some
    /// 60 KB of the server's memory. Default 256.
    public var maximumStatements = 256

    public init(
        host: String = "localhost", port: Int = 5432, database: String, user: String, password: String? = nil, schema: String? = nil
    ) {
        self.host = host
        self.port = port
        self.database = database
        self.user = user
        self.password = password
        self.schema = schema
    }

    /// Reads a libpq connection string: `postgresql://user:password@host:port/database?sslmode=require`, or `host=… dbname=…`.
    ///
    /// Takes over host, port, dbname, user, password, sslmode, sslrootcert and application_name; the database defaults to the user's name.
    /// - Throws: ``PostgresConfigurationError`` when the string is malformed or has a keyword that is not taken over.
    public init(connectionString: String) throws {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(connectionString, &message) else {
            PQfreemem(message)
            throw PostgresConfigurationError(reason: "not a connection string of libpq")
        }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        guard let user = values.removeValue(forKey: "user") else { throw PostgresConfigurationError(reason: "names no user") }
        self.init(database: values.removeValue(forKey: "dbname") ?? user, user: user)
        host = values.removeValue(forKey: "host") ?? host
        password = values.removeValue(forKey: "password")
        tlsMode = values.removeValue(forKey: "sslmode") ?? tlsMode
        tlsRootCertificates = values.removeValue(forKey: "sslrootcert")
        applicationName = values.removeValue(forKey: "application_name") ?? applicationName
        if let text = values.removeValue(forKey: "port") {
            guard let port = Int(text) else { throw PostgresConfigurationError(reason: "the port is not one number") }
            self.port = port
        }
        if let unknown = values.keys.min() { throw PostgresConfigurationError(reason: "the keyword \(unknown) is not supported") }
    }

    /// The keywords and values for libpq; `options` are settings of the session.
    func parameters(settings: [(String, String)]) -> [(String, String)] {
        var parameters = [
            ("host", host), ("port", String(port)), ("dbname", database), ("user", user), ("sslmode", tlsMode),
            ("application_name", applicationName), ("client_encoding", "UTF8"), ("target_session_attrs", "read-write"),
            ("connect_timeout", String(max(2, connectTimeout.components.seconds))),
            // Else each connection looks for a Kerberos ticket first, in a library that a process which ends does not wait for.
            ("gssencmode", "disable"),
            // A peer that vanished without a word is noticed within seconds.
            ("keepalives_idle", "15"), ("keepalives_interval", "5"), ("keepalives_count", "3"), ("tcp_user_timeout", "30000"),
        ]
        if let password { parameters.append(("password", password)) }
        if let tlsRootCertificates { parameters.append(("sslrootcert", tlsRootCertificates)) }
        var settings = settings
        settings += [
            ("DateStyle", "ISO"), ("TimeZone", "UTC"), ("standard_conforming_strings", "on"),
            // Compiling pays for queries of seconds; here it would only cost.
            ("jit", "off"),
            // The server, too, notices within seconds that a peer has vanished, so that what it locked is free: the relay's
            // leadership, above all.
            ("tcp_keepalives_idle", "15"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3"),
        ]
        // Temporary tables last, so that none can stand in front of a real one.
        if let schema { settings.append(("search_path", "\(History.quoted(schema)), extensions, pg_temp")) }
        let options = settings.map { name, value in
            "-c \(name)=\(value.replacing("\\", with: "\\\\").replacing(" ", with: "\\ "))"
        }
        parameters.append(("options", options.joined(separator: " ")))
        return parameters
    }

    func parameters(for lane: Lane) -> [(String, String)] {
        let isShort = lane == .fast && bulkConnections > 0
        return parameters(settings: [
            ("statement_timeout", (isShort ? fastStatementTimeout : statementTimeout).millisecondsText),
            ("lock_timeout", (isShort ? fastLockTimeout : lockTimeout).millisecondsText),
            ("idle_in_transaction_session_timeout", idleInTransactionTimeout.millisecondsText),
            // It reads the rows of all tenants, and is chosen for one whose rows are many of a table that is small yet.
            ("enable_seqscan", "off"),
        ])
    }
}

/// A connection string that cannot be used. Does not repeat the string, which may hold a password.
public struct PostgresConfigurationError: Error, CustomStringConvertible {
    public var reason: String
    public var description: String { "postgres connection string: \(reason)" }
}

extension Duration {
    /// Whole milliseconds, as Postgres's settings take them.
    var millisecondsText: String { String(milliseconds) }
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
    var nanoseconds: Int64 {
        // Centuries are as good as for ever, and do not overflow.
        let seconds = min(components.seconds, 4_000_000_000)
        return seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
