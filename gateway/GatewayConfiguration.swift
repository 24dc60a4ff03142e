import Core
import Logging
import NIOCore
import Operations
import Redis

/// The settings of the gateway; ``settings`` lists them.
public struct GatewayConfiguration: Sendable {
    public var host = "127.0.0.1"
    public var port = 8080
    public var adminHost = "127.0.0.1"
    public var adminPort = 8180
    /// The addresses of each service.
    public var upstreams: [ServiceName: [UpstreamAddress]] = [:]
    public var redis = RedisConfiguration()
    public var contextKeys: ContextKeys
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
    /// Bytes of all bodies under way, in all threads together; four of the largest a thread are always let in.
    public var bodiesLimit = 64 << 20
    public var requestTimeout = TimeAmount.seconds(30)
    public var headerTimeout = TimeAmount.seconds(10)
    public var bodyTimeout = TimeAmount.seconds(60)
    public var keepAlive = TimeAmount.seconds(75)
    public var grace = TimeAmount.seconds(20)
    public var drain = TimeAmount.seconds(0)
    public var eventLoops = System.coreCount
    public var connectionLimit = 10_000
    public var inFlightLimit = 4096
    public var upstreamConnectionLimit = 64
    public var upstreamConnectionAge = TimeAmount.seconds(60)
    public var logLevel = Logger.Level.info
    public var writesAccessLog = true

    /// The defaults, with the keys that have none.
    public init(contextKeys: ContextKeys) {
        self.contextKeys = contextKeys
        for (offset, service) in ServiceName.allCases.enumerated() {
            upstreams[service] = [UpstreamAddress(host: "127.0.0.1", port: 8101 + offset)]
        }
    }

    /// In the order in which an operator reads them.
    public static let settings: [Setting] =
        [
            Setting("host", "127.0.0.1", "Address to listen on; 0.0.0.0 in a container."),
            Setting("port", "8080", "Port of the API; 0 takes a free one."),
            Setting("admin.host", "127.0.0.1", "Address of /livez, /readyz and /metrics."),
            Setting("admin.port", "MARTLET_PORT + 100", "Port of /livez, /readyz and /metrics."),
        ]
        + ServiceName.allCases.map {
            Setting(
                "\($0.rawValue).url", "http://127.0.0.1:\($0.defaultPort)",
                "Addresses of the \($0.rawValue) service: http://host:port, several with commas.")
        } + RedisConfiguration.settings + [
            ContextKeys.setting,
            Setting("issuer", "martlet", "Claim iss that access tokens must have; the same in identity."),
            Setting("audience", "martlet-api", "Claim aud that access tokens must have; the same in identity."),
            Setting("address.limit", "100", "Requests in 15 minutes per address without a valid token."),
            Setting(
                "local.share.percent", "50",
                "Part of each limit that this gateway admits alone while Redis is away, 1 to 100; 100 over the number of gateways keeps the limit."
            ),
            Setting("trusted.proxies", "", "Networks whose X-Forwarded-For counts, as CIDRs with commas, such as 10.0.0.0/8,fd00::/8."),
            Setting("cors.origins", "", "Origins that browsers may call from, exact, with commas, such as https://app.example.com."),
            Setting("base.domain", "", "Domain whose subdomains name a tenant: with example.com, acme.example.com is acme."),
            Setting("hsts", "false", "Whether answers carry Strict-Transport-Security; true behind TLS."),
            Setting("body.limit", "1048576", "Bytes of a request's body, 1024 to 1048576, which is what services take."),
            Setting(
                "bodies.limit", "67108864",
                "Bytes of all bodies under way, 1048576 to 17179869184. Beyond it the largest that is not whole is refused."),
            Setting("request.timeout.seconds", "30", "Until the head of the answer, 1 to 600."),
            Setting("header.timeout.seconds", "10", "From the first byte of a request to the end of its head, 1 to 600."),
            Setting(
                "body.timeout.seconds", "60",
                "For a request's body to arrive whole, and for the next byte of an answer to be taken, 1 to 3600."),
            Setting("keep.alive.seconds", "75", "For a connection without a request, 1 to 3600."),
            Setting(
                "drain.seconds", "0",
                "Between saying not ready and accepting no more at a stop, 0 to 60; as long as a balancer takes to notice."),
            Setting("grace.seconds", "20", "Longest wait for running requests at a stop, after the drain, 1 to 300."),
            Setting("event.loops", "the number of cores", "Threads, 1 to 64."),
            Setting("connections", "10000", "Clients at once, 1 to 1000000."),
            Setting("in.flight", "4096", "Requests at once before new ones are refused, 1 to 1000000."),
            Setting("upstream.connections", "64", "Connections per service address and thread, 1 to 4096."),
            Setting(
                "upstream.connection.seconds", "60",
                "How long a connection to a service is used, a quarter more or less; then the name is resolved anew. 0 to 86400; 0: for one request."
            ),
            Setting("log.level", "info", "trace, debug, info, notice, warning or error."),
            Setting("access.log", "true", "Whether a line is written for each request."),
        ]

    /// Signs what is sent to each service, by the service's index.
    var signers: [ContextSigner] {
        ServiceName.allCases.map { service in
            guard let signer = contextKeys.signer(for: service.rawValue) else {
                preconditionFailure("the gateway is a pair with every service, and the keys of all pairs are there")
            }
            return signer
        }
    }

    /// - Throws: ``SettingError``.
    public init(settings: Settings) throws {
        self.init(contextKeys: try ContextKeys(settings, of: ContextPair.gateway))
        host = try settings.string("host", default: host)
        port = try settings.integer("port", default: port, in: 0...65535)
        adminHost = try settings.string("admin.host", default: adminHost)
        adminPort = try settings.integer("admin.port", default: port == 0 ? 0 : min(port + 100, 65535), in: 0...65535)
        for service in ServiceName.allCases {
            let addresses = try settings.list("\(service.rawValue).url", "http://host:port[,…]") { UpstreamAddress(url: $0) }
            if !addresses.isEmpty { upstreams[service] = addresses }
        }
        redis = try RedisConfiguration(settings: settings)
        issuer = try settings.string("issuer", default: issuer)
        audience = try settings.string("audience", default: audience)
        addressLimit = try settings.integer("address.limit", default: addressLimit, in: 1...1_000_000_000)
        localShare = Double(try settings.integer("local.share.percent", default: 50, in: 1...100)) / 100
        trustedProxies = try settings.list("trusted.proxies", "CIDRs such as 10.0.0.0/8,fd00::/8") { AddressRange($0) }
        corsOrigins = try settings.list("cors.origins", "exact origins such as https://app.example.com") { text in
            guard text.hasPrefix("https://") || text.hasPrefix("http://"), !text.contains("*"), text.split(separator: "/").count == 2,
                !text.hasSuffix("/"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
            else { return nil }
            return text
        }
        baseDomain = try settings.optional("base.domain")?.lowercased()
        sendsTransportSecurity = try settings.flag("hsts", default: sendsTransportSecurity)
        bodyLimit = try settings.integer("body.limit", default: bodyLimit, in: 1024...1 << 20)
        bodiesLimit = try settings.integer("bodies.limit", default: bodiesLimit, in: 1 << 20...1 << 34)
        func seconds(_ key: String, _ standard: TimeAmount, _ range: ClosedRange<Int>) throws -> TimeAmount {
            .seconds(Int64(try settings.integer(key, default: Int(standard.nanoseconds / 1_000_000_000), in: range)))
        }
        requestTimeout = try seconds("request.timeout.seconds", requestTimeout, 1...600)
        headerTimeout = try seconds("header.timeout.seconds", headerTimeout, 1...600)
        bodyTimeout = try seconds("body.timeout.seconds", bodyTimeout, 1...3600)
        keepAlive = try seconds("keep.alive.seconds", keepAlive, 1...3600)
        grace = try seconds("grace.seconds", grace, 1...300)
        drain = try seconds("drain.seconds", drain, 0...60)
        eventLoops = try settings.integer("event.loops", default: eventLoops, in: 1...64)
        connectionLimit = try settings.integer("connections", default: connectionLimit, in: 1...1_000_000)
        inFlightLimit = try settings.integer("in.flight", default: inFlightLimit, in: 1...1_000_000)
        upstreamConnectionLimit = try settings.integer("upstream.connections", default: upstreamConnectionLimit, in: 1...4096)
        upstreamConnectionAge = try seconds("upstream.connection.seconds", upstreamConnectionAge, 0...86_400)
        logLevel = try settings.parsed("log.level", default: logLevel, "trace, debug, info, notice, warning or error") {
            Logger.Level(rawValue: $0)
        }
        writesAccessLog = try settings.flag("access.log", default: writesAccessLog)
    }
}
