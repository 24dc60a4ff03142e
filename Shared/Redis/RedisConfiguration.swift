import NIOCore

/// Where Redis is and how patient its client is.
public struct RedisConfiguration: Sendable {
    public var host: String
    public var port: Int
    public var password: String?
    public var database: Int
    /// Time limit of one command, from the call to the reply; default 250 ms.
    public var commandTimeout: TimeAmount = .milliseconds(250)
    /// Time limit of one attempt to connect; default 1 s.
    public var connectTimeout: TimeAmount = .seconds(1)
    /// Commands that may wait for replies at once; default 4,096. Beyond it a command fails with ``RedisError/overloaded``.
    public var inFlightLimit = 4096
    /// Failures in a row after which commands fail at once for ``breakerPause``; default 5.
    public var breakerThreshold = 5
    /// How long the breaker stays open before one command may try again; default 1 s.
    public var breakerPause: TimeAmount = .seconds(1)

    public init(host: String = "127.0.0.1", port: Int = 6379, password: String? = nil, database: Int = 0) {
        self.host = host
        self.port = port
        self.password = password
        self.database = database
    }

    /// Reads `redis://[[user]:password@]host[:port][/database]`; an IPv6 address stands in brackets. `nil` for anything else.
    ///
    /// The password is taken as written, without percent-decoding. A user name is accepted only when it is empty or `default`.
    public init?(url: String) {
        guard url.hasPrefix("redis://") else { return nil }
        var rest = url.dropFirst("redis://".count)
        var password: String?
        if let at = rest.lastIndex(of: "@") {
            let credentials = rest[..<at]
            guard let colon = credentials.firstIndex(of: ":"), ["", "default"].contains(credentials[..<colon]) else { return nil }
            password = String(credentials[credentials.index(after: colon)...])
            rest = rest[rest.index(after: at)...]
        }
        var database = 0
        if let slash = rest.firstIndex(of: "/") {
            let text = rest[rest.index(after: slash)...]
            guard let number = text.isEmpty ? 0 : Int(text), number >= 0 else { return nil }
            database = number
            rest = rest[..<slash]
        }
        var host = rest
        var port = 6379
        let bracket = rest.firstIndex(of: "]")
        if let colon = rest.lastIndex(of: ":"), bracket.map({ $0 < colon }) ?? true {
            guard let number = UInt16(rest[rest.index(after: colon)...]), number > 0 else { return nil }
            port = Int(number)
            host = rest[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port, password: password.flatMap { $0.isEmpty ? nil : $0 }, database: database)
    }

    /// What is said to Redis first on a new connection.
    var greeting: [[String]] {
        (password.map { [["AUTH", $0]] } ?? []) + (database == 0 ? [] : [["SELECT", String(database)]])
    }
}
