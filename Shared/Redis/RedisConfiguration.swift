import Logging
import NIOCore

/// A server of Redis, or a sentinel.
public struct RedisAddress: Sendable, Hashable {
    public var host: String
    public var port: Int

    public init(_ host: String, _ port: Int) {
        self.host = host
        self.port = port
    }
}

/// Where Redis is and how patient its client is.
public struct RedisConfiguration: Sendable {
    public enum Place: Sendable, Hashable {
        case server(RedisAddress)
        /// The master of that name, which one of the sentinels is asked for before each connection.
        case sentinels([RedisAddress], master: String)
    }

    public var place: Place
    /// `nil` for the user `default`.
    public var user: String?
    public var password: String?
    /// What the sentinels themselves ask for.
    public var sentinelUser: String?
    public var sentinelPassword: String?
    public var database: Int
    /// How connections to Redis and its sentinels are encrypted; `nil` for such in the clear.
    public var tls: RedisTLS?
    /// Time limit of one command, from the call to the reply; default 250 ms.
    public var commandTimeout: TimeAmount = .milliseconds(250)
    /// Time limit of one attempt to connect, and then of the greeting; default 1 s.
    public var connectTimeout: TimeAmount = .seconds(1)
    /// Commands that may wait for replies at once; default 4,096. Beyond it a command fails with ``RedisError/overloaded``.
    public var inFlightLimit = 4096
    /// Failures in a row after which commands fail at once for ``breakerPause``; default 5.
    public var breakerThreshold = 5
    /// How long the breaker stays open before one command may try again; default 1 s.
    public var breakerPause: TimeAmount = .seconds(1)
    /// Is told why there is no connection, once until there is one again; default nobody.
    public var logger: Logger?

    public init(_ place: Place = .server(RedisAddress("127.0.0.1", 6379)), password: String? = nil, database: Int = 0) {
        self.place = place
        self.password = password
        self.database = database
    }

    public init(host: String = "127.0.0.1", port: Int = 6379, password: String? = nil, database: Int = 0) {
        self.init(.server(RedisAddress(host, port)), password: password, database: database)
    }

    /// What an URL of Redis looks like.
    public static let form =
        "redis[s]://[[user]:password@]host[:port][/database], or redis[s]+sentinel://[[user]:password@]host[:port][,host[:port]…]/master[/database]"

    /// Reads ``form``; an IPv6 address stands in brackets. With `rediss` connections are encrypted, and certificate and host name verified by
    /// the system's roots. `nil` for anything else.
    ///
    /// The password is taken as written, without percent-decoding.
    public init?(url: String) {
        let schemes: [(start: String, isEncrypted: Bool, hasSentinels: Bool)] = [
            ("redis://", false, false), ("rediss://", true, false), ("redis+sentinel://", false, true),
            ("rediss+sentinel://", true, true),
        ]
        guard let (start, isEncrypted, hasSentinels) = schemes.first(where: { url.hasPrefix($0.start) }) else { return nil }
        var rest = url.dropFirst(start.count)
        var credentials: (user: Substring, password: Substring)?
        if let at = rest.lastIndex(of: "@") {
            guard let colon = rest[..<at].firstIndex(of: ":") else { return nil }
            credentials = (rest[..<colon], rest[rest.index(after: colon)..<at])
            rest = rest[rest.index(after: at)...]
        }
        var path = rest.split(separator: "/", omittingEmptySubsequences: false)
        let hosts = path.removeFirst().split(separator: ",", omittingEmptySubsequences: false)
        let addresses = hosts.compactMap { RedisAddress($0, defaultPort: hasSentinels ? 26379 : 6379) }
        guard addresses.count == hosts.count else { return nil }
        let place: Place
        if hasSentinels {
            guard let master = path.first, !master.isEmpty else { return nil }
            path.removeFirst()
            place = .sentinels(addresses, master: String(master))
        } else {
            guard addresses.count == 1 else { return nil }
            place = .server(addresses[0])
        }
        let text = path.first ?? ""
        guard path.count <= 1, let database = text.isEmpty ? 0 : Int(text), database >= 0 else { return nil }
        self.init(place, password: (credentials?.password).flatMap { $0.isEmpty ? nil : String($0) }, database: database)
        user = (credentials?.user).flatMap { $0.isEmpty ? nil : String($0) }
        // A name alone opens nothing.
        guard user == nil || password != nil else { return nil }
        if isEncrypted {
            guard let tls = try? RedisTLS() else { return nil }
            self.tls = tls
        }
    }

    /// What is said to Redis first on a new connection.
    var greeting: [[String]] {
        var commands = Self.authentication(user, password)
        if database != 0 { commands.append(["SELECT", String(database)]) }
        // That the handshake succeeded is known when something was answered.
        if commands.isEmpty, tls != nil { commands.append(["PING"]) }
        if asksForRole { commands.append(["ROLE"]) }
        return commands
    }

    /// Whether a server must say that it is the master, as a sentinel may not know yet that another one is; the last of the ``greeting``.
    var asksForRole: Bool { if case .sentinels = place { true } else { false } }

    static func authentication(_ user: String?, _ password: String?) -> [[String]] {
        password.map { [["AUTH"] + (user.map { [$0] } ?? []) + [$0]] } ?? []
    }
}

extension RedisAddress {
    /// Reads `host`, `host:port`, `[::1]` or `[::1]:port`.
    fileprivate init?(_ text: Substring, defaultPort: Int) {
        var host = text
        var port = defaultPort
        let bracket = text.firstIndex(of: "]")
        if let colon = text.lastIndex(of: ":"), bracket.map({ $0 < colon }) ?? true {
            guard let number = UInt16(text[text.index(after: colon)...]), number > 0 else { return nil }
            port = Int(number)
            host = text[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { return nil }
        self.init(String(host), port)
    }
}
