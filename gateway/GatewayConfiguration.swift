import Configuration
import Core
import NIOCore
import Redis

/// A setting is missing or wrong; the text names it and says what was expected.
public struct ConfigurationError: Error, CustomStringConvertible {
    public let description: String
}

/// The settings of the gateway.
///
/// Each is an environment variable `MARTLET_…`, or a member of the JSON file that `MARTLET_CONFIG_FILE` names (`{"martlet":
/// {"port": 8080}}`); the environment wins.
///
/// | variable | kind | default |
/// |---|---|---|
/// | `MARTLET_HOST` | address to listen on | `127.0.0.1` |
/// | `MARTLET_PORT` | port, 0 takes a free one | 8080 |
/// | `MARTLET_ADMIN_HOST` | address of health and metrics | `127.0.0.1` |
/// | `MARTLET_ADMIN_PORT` | port of health and metrics | port + 100 |
/// | `MARTLET_IDENTITY_URL`, `_TENANT_`, `_CRM_`, `_ACTIVITY_`, `_SUPPORT_` | `http://host:port`, several with commas | `http://127.0.0.1:8101` … `8105` |
/// | `MARTLET_REDIS_URL` | `redis://[:password@]host:port[/db]`, secret | `redis://127.0.0.1:6379` |
/// | `MARTLET_CONTEXT_KEYS` | `id:hex[,id:hex…]`, secret | none, required |
/// | `MARTLET_ISSUER`, `MARTLET_AUDIENCE` | what tokens must name | `martlet`, `martlet-api` |
/// | `MARTLET_ADDRESS_LIMIT` | requests in 15 minutes per address without a valid token | 100 |
/// | `MARTLET_LOCAL_SHARE_PERCENT` | part of each limit that this gateway admits alone while Redis is away, 1…100 | 50 |
/// | `MARTLET_TRUSTED_PROXIES` | CIDRs whose `X-Forwarded-For` counts, with commas | none |
/// | `MARTLET_CORS_ORIGINS` | origins, exact, with commas | none |
/// | `MARTLET_BASE_DOMAIN` | `example.com`: `acme.example.com` names the tenant acme | none |
/// | `MARTLET_HSTS` | `on` behind TLS: answers carry Strict-Transport-Security | `off` |
/// | `MARTLET_BODY_LIMIT` | bytes of a request's body, 1 KiB … 1 GiB; imports may have 1 GiB | 1048576 |
/// | `MARTLET_REQUEST_TIMEOUT_SECONDS` | until the head of the answer, 1…600 | 30 |
/// | `MARTLET_HEADER_TIMEOUT_SECONDS` | from the first byte of a request to the end of its head, 1…600 | 10 |
/// | `MARTLET_BODY_TIMEOUT_SECONDS` | without a byte of a body in either direction, 1…3600 | 60 |
/// | `MARTLET_KEEP_ALIVE_SECONDS` | a connection without a request, 1…3600 | 75 |
/// | `MARTLET_GRACE_SECONDS` | for requests under way at a stop, 0…600 | 20 |
/// | `MARTLET_READY_DELAY_SECONDS` | between not being ready and not accepting, 0…60 | 0 |
/// | `MARTLET_EVENT_LOOPS` | threads, 1…64 | the number of cores |
/// | `MARTLET_CONNECTIONS` | clients at once, 1…1000000 | 10000 |
/// | `MARTLET_IN_FLIGHT` | requests at once before new ones are refused, 1…1000000 | 4096 |
/// | `MARTLET_UPSTREAM_CONNECTIONS` | per service address and event loop, 1…4096 | 64 |
/// | `MARTLET_ACCESS_LOG` | `on` or `off` | `on` |
public struct GatewayConfiguration: Sendable {
    public var host = "127.0.0.1"
    public var port = 8080
    public var adminHost = "127.0.0.1"
    public var adminPort = 8180
    /// The addresses of each service.
    public var upstreams: [ServiceName: [UpstreamAddress]] = [:]
    public var redis = RedisConfiguration()
    public var signer: ContextSigner
    public var issuer = "martlet"
    public var audience = "martlet-api"
    /// Requests in 15 minutes per address without a valid token.
    public var addressLimit = 100
    /// Part of each limit that one gateway admits while Redis is away, 0…1.
    public var localShare = 0.5
    public var trustedProxies: [AddressRange] = []
    public var corsOrigins: [String] = []
    public var baseDomain: String?
    public var sendsTransportSecurity = false
    /// Bytes.
    public var bodyLimit = 1 << 20
    public var requestTimeout = TimeAmount.seconds(30)
    public var headerTimeout = TimeAmount.seconds(10)
    public var bodyTimeout = TimeAmount.seconds(60)
    public var keepAlive = TimeAmount.seconds(75)
    public var grace = TimeAmount.seconds(20)
    public var readyDelay = TimeAmount.seconds(0)
    public var eventLoops = System.coreCount
    public var connectionLimit = 10_000
    public var inFlightLimit = 4096
    public var upstreamConnectionLimit = 64
    public var writesAccessLog = true

    /// The defaults, with the keys that have none.
    public init(signer: ContextSigner) {
        self.signer = signer
        for (offset, service) in ServiceName.allCases.enumerated() {
            upstreams[service] = [UpstreamAddress(host: "127.0.0.1", port: 8101 + offset)]
        }
    }

    /// Reads the environment of the process and the file that `MARTLET_CONFIG_FILE` names.
    ///
    /// - Throws: ``ConfigurationError``, or what reading the file throws.
    public static func read() async throws -> GatewayConfiguration {
        let environment = EnvironmentVariablesProvider()
        var providers: [any ConfigProvider] = [environment]
        if let path = ConfigReader(provider: environment).string(forKey: "martlet.config.file") {
            let file = InMemoryProvider(values: ["filePath": .init(stringLiteral: path)])
            providers.append(try await FileProvider<JSONSnapshot>(config: ConfigReader(provider: file)))
        }
        return try GatewayConfiguration(reader: ConfigReader(providers: providers))
    }

    /// - Throws: ``ConfigurationError``.
    public init(reader: ConfigReader) throws {
        let settings = SettingReader(reader: reader.scoped(to: "martlet"))
        guard let keys = settings.text("context.keys", isSecret: true) else {
            throw ConfigurationError(description: "MARTLET_CONTEXT_KEYS is missing: expected id:hex[,id:hex…]")
        }
        do {
            self.init(signer: try ContextSigner(keys: keys))
        } catch {
            throw ConfigurationError(description: "MARTLET_CONTEXT_KEYS is wrong: \(error)")
        }
        host = settings.text("host") ?? host
        port = try settings.number("port", 0...65535) ?? port
        adminHost = settings.text("admin.host") ?? adminHost
        adminPort = try settings.number("admin.port", 0...65535) ?? (port == 0 ? 0 : min(port + 100, 65535))
        for service in ServiceName.allCases {
            let key = "\(service.rawValue).url"
            guard let text = settings.text(key) else { continue }
            upstreams[service] = try text.split(separator: ",").map { part in
                guard let address = UpstreamAddress(url: String(part)) else { throw settings.wrong(key, "http://host:port[,…]") }
                return address
            }
        }
        if let url = settings.text("redis.url", isSecret: true) {
            guard let parsed = RedisConfiguration(url: url) else {
                throw settings.wrong("redis.url", "redis://[:password@]host:port[/database]")
            }
            redis = parsed
        }
        issuer = settings.text("issuer") ?? issuer
        audience = settings.text("audience") ?? audience
        addressLimit = try settings.number("address.limit", 1...1_000_000_000) ?? addressLimit
        localShare = try settings.number("local.share.percent", 1...100).map { Double($0) / 100 } ?? localShare
        trustedProxies = try settings.list("trusted.proxies").map { text in
            guard let range = AddressRange(text) else { throw settings.wrong("trusted.proxies", "CIDRs such as 10.0.0.0/8,fd00::/8") }
            return range
        }
        corsOrigins = try settings.list("cors.origins").map { text in
            guard text.hasPrefix("https://") || text.hasPrefix("http://"), !text.contains("*"), text.split(separator: "/").count == 2,
                !text.hasSuffix("/"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
            else { throw settings.wrong("cors.origins", "exact origins such as https://app.example.com") }
            return text
        }
        baseDomain = settings.text("base.domain")?.lowercased()
        sendsTransportSecurity = try settings.flag("hsts") ?? sendsTransportSecurity
        bodyLimit = try settings.number("body.limit", 1024...1 << 30) ?? bodyLimit
        requestTimeout = try settings.seconds("request.timeout.seconds", 1...600) ?? requestTimeout
        headerTimeout = try settings.seconds("header.timeout.seconds", 1...600) ?? headerTimeout
        bodyTimeout = try settings.seconds("body.timeout.seconds", 1...3600) ?? bodyTimeout
        keepAlive = try settings.seconds("keep.alive.seconds", 1...3600) ?? keepAlive
        grace = try settings.seconds("grace.seconds", 0...600) ?? grace
        readyDelay = try settings.seconds("ready.delay.seconds", 0...60) ?? readyDelay
        eventLoops = try settings.number("event.loops", 1...64) ?? eventLoops
        connectionLimit = try settings.number("connections", 1...1_000_000) ?? connectionLimit
        inFlightLimit = try settings.number("in.flight", 1...1_000_000) ?? inFlightLimit
        upstreamConnectionLimit = try settings.number("upstream.connections", 1...4096) ?? upstreamConnectionLimit
        writesAccessLog = try settings.flag("access.log") ?? writesAccessLog
    }
}

/// Reads settings one by one and names the one that is wrong, by its environment variable.
private struct SettingReader {
    let reader: ConfigReader

    func wrong(_ key: String, _ expected: String) -> ConfigurationError {
        let variable = "MARTLET_" + key.uppercased().split(separator: ".").joined(separator: "_")
        return ConfigurationError(description: "\(variable) is wrong: expected \(expected)")
    }

    /// `nil` when absent or empty. A number in a file counts as its text.
    func text(_ key: String, isSecret: Bool = false) -> String? {
        let text = reader.string(forKey: ConfigKey(key), isSecret: isSecret) ?? reader.int(forKey: ConfigKey(key)).map(String.init)
        return text.flatMap { $0.isEmpty ? nil : $0 }
    }

    func number(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
        guard let text = text(key) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw wrong(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func seconds(_ key: String, _ range: ClosedRange<Int>) throws -> TimeAmount? {
        try number(key, range).map { .seconds(Int64($0)) }
    }

    func flag(_ key: String) throws -> Bool? {
        guard let text = text(key) else { return nil }
        guard text == "on" || text == "off" else { throw wrong(key, "on or off") }
        return text == "on"
    }

    func list(_ key: String) -> [String] {
        text(key)?.split(separator: ",").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty } ?? []
    }
}
