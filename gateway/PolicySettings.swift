import Logging
import NIOCore
import Operations

/// The settings of the gateway that may change while it runs; ``settings`` lists them. What a process is for as long as it runs is in
/// ``GatewayConfiguration``.
public struct PolicySettings: Sendable {
    /// The addresses of each service.
    public var upstreams: [ServiceName: [UpstreamAddress]]
    /// Requests in 15 minutes per address without a valid token.
    public var addressLimit = 100
    /// Part of each limit that one gateway admits while Redis is away, 0…1.
    public var localShare = 0.5
    public var trustedProxies: [AddressRange] = []
    /// Proxies before the gateway; 0 where ``trustedProxies`` tell them from clients.
    public var trustedHops = 0
    public var forwardedField = ForwardedField.xForwardedFor
    public var corsOrigins: [String] = []
    public var baseDomain: String?
    public var sendsTransportSecurity = false
    /// Whether answers of 1 kB and more are compressed for clients that ask for it.
    public var compresses = true
    /// Bytes.
    public var bodyLimit = 1 << 20
    /// Bytes of all bodies under way, in all threads together; four of the largest a thread are always let in.
    public var bodiesLimit = 64 << 20
    /// Bytes of all answers that clients have not taken yet, in all threads together.
    public var answersLimit = 32 << 20
    public var requestTimeout = TimeAmount.seconds(30)
    public var headerTimeout = TimeAmount.seconds(10)
    public var bodyTimeout = TimeAmount.seconds(60)
    /// Bytes a second.
    public var uploadFloor = 16 * 1024
    /// For how long a client may fall behind ``uploadFloor``; no setting.
    public var uploadPatience = TimeAmount.seconds(10)
    public var keepAlive = TimeAmount.seconds(75)
    /// After about this time, a quarter more or less, a client's connection ends with the answer that it has; zero for never.
    public var connectionAge = TimeAmount.seconds(3600)
    public var connectionLimit = 10_000
    /// Connections of one address at once.
    public var addressConnections = 1000
    public var inFlightLimit = 4096
    public var grace = TimeAmount.seconds(20)
    public var drain = TimeAmount.seconds(0)
    public var logLevel = Logger.Level.info
    public var accessLog = AccessLogForm.json
    /// Whether the access log says which address and which user asked.
    public var logsClients = false

    public init() {
        let addresses = ServiceName.allCases.map { ($0, [UpstreamAddress(host: "127.0.0.1", port: $0.defaultPort)]) }
        upstreams = Dictionary(uniqueKeysWithValues: addresses)
    }

    /// In the order in which an operator reads them.
    static let settings: [Setting] =
        ServiceName.allCases.map {
            Setting(
                "\($0.rawValue).url", "http://127.0.0.1:\($0.defaultPort)",
                "Addresses of the \($0.rawValue) service: http://host:port, several with commas; a name stands for all it has.")
        } + [
            Setting("address.limit", "100", "Requests in 15 minutes per address without a valid token."),
            Setting(
                "local.share.percent", "50",
                "Part of each limit that this gateway admits alone while Redis is away, 1 to 100, but at least one request; 100 over the number of gateways keeps every limit that is no smaller than it."
            ),
            Setting(
                "trusted.proxies", "",
                "Networks of the proxies that may name a request's client, as CIDRs with commas, such as 10.0.0.0/8,fd00::/8."),
            Setting(
                "trusted.hops", "0",
                "Proxies before the gateway, 0 to 16: the client is the address so many places from the end of what they wrote, whoever has it. 0: the last one outside trusted.proxies. With both, trusted.proxies says whose list is believed; with hops alone, everybody's."
            ),
            Setting(
                "forwarded.header", "x-forwarded-for",
                "What those proxies write the address into: x-forwarded-for, or forwarded (RFC 7239). The other one is not believed."),
            Setting("cors.origins", "", "Origins that browsers may call from, exact, with commas, such as https://app.example.com."),
            Setting("base.domain", "", "Domain whose subdomains name a tenant: with example.com, acme.example.com is acme."),
            Setting(
                "hsts", "true with MARTLET_TLS_CERTIFICATE",
                "Whether answers carry Strict-Transport-Security; true where something before the gateway speaks TLS."),
            Setting("compression", "true", "Whether answers of 1 kB and more are compressed by gzip for clients that ask for it."),
            Setting("body.limit", "1048576", "Bytes of a request's body, 1024 to 1048576, which is what services take."),
            Setting(
                "bodies.limit", "67108864",
                "Bytes of all bodies under way, 1048576 to 17179869184. Beyond it the largest that is not whole is refused."),
            Setting(
                "answers.limit", "33554432",
                "Bytes of all answers that clients have not taken yet, 1048576 to 17179869184. Beyond it the client with the most is cut off."
            ),
            Setting("request.timeout.seconds", "30", "Until the head of the answer, 1 to 600."),
            Setting("header.timeout.seconds", "10", "From the first byte of a request to the end of its head, 1 to 600."),
            Setting(
                "body.timeout.seconds", "60",
                "For a request's body to arrive whole, and for the next byte of an answer to be taken, 1 to 3600."),
            Setting(
                "upload.floor", "16384",
                "Bytes a second, 1 to 1073741824, that a body must come with that goes on to its service as it comes; a client that falls 10 s behind is refused."
            ),
            Setting(
                "keep.alive.seconds", "75",
                "For a connection without a request, 1 to 3600; longer than a proxy before the gateway keeps one that it does not use."),
            Setting(
                "connection.age.seconds", "3600",
                "How long a client's connection is used, a quarter more or less, so that added gateways get their share; 0 to 86400; 0: for ever."
            ),
            Setting("connections", "10000", "Clients at once, 1 to 1000000; fewer where the limit of open files does not allow so many."),
            Setting(
                "address.connections", "1000",
                "Clients at once behind one address, which is a /64 of IPv6, 1 to 1000000; not counted for trusted proxies."),
            Setting("in.flight", "4096", "Requests at once before new ones are refused, 1 to 1000000."),
            Setting(
                "drain.seconds", "0",
                "Between saying not ready and accepting no more at a stop, 0 to 60; as long as a balancer takes to notice."),
            Setting("grace.seconds", "20", "Longest wait for running requests at a stop, after the drain, 1 to 300."),
            Setting("log.level", "info", "trace, debug, info, notice, warning or error."),
            Setting("access.log", "json", "Form of the line that is written for each request: json, combined or off."),
            Setting(
                "access.log.client", "false",
                "Whether that line has the client's address and the user's id. These are personal data: say so to those whom they are about, and keep the log no longer than needed."
            ),
        ]

    /// - Throws: ``SettingError``.
    init(settings: Settings) throws {
        self.init()
        for service in ServiceName.allCases {
            let addresses = try settings.list("\(service.rawValue).url", "http://host:port[,…]") { UpstreamAddress(url: $0) }
            if !addresses.isEmpty { upstreams[service] = addresses }
        }
        addressLimit = try settings.integer("address.limit", default: addressLimit, in: 1...1_000_000_000)
        localShare = Double(try settings.integer("local.share.percent", default: 50, in: 1...100)) / 100
        trustedProxies = try settings.list("trusted.proxies", "CIDRs such as 10.0.0.0/8,fd00::/8") { AddressRange($0) }
        trustedHops = try settings.integer("trusted.hops", default: trustedHops, in: 0...16)
        forwardedField = try settings.parsed("forwarded.header", default: forwardedField, "x-forwarded-for or forwarded") {
            ForwardedField(rawValue: $0)
        }
        corsOrigins = try settings.list("cors.origins", "exact origins such as https://app.example.com") { text in
            guard text.hasPrefix("https://") || text.hasPrefix("http://"), !text.contains("*"), text.split(separator: "/").count == 2,
                !text.hasSuffix("/"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
            else { return nil }
            return text
        }
        baseDomain = try settings.optional("base.domain")?.lowercased()
        sendsTransportSecurity = try settings.flag("hsts", default: settings.optional("tls.certificate") != nil)
        compresses = try settings.flag("compression", default: compresses)
        bodyLimit = try settings.integer("body.limit", default: bodyLimit, in: 1024...1 << 20)
        bodiesLimit = try settings.integer("bodies.limit", default: bodiesLimit, in: 1 << 20...1 << 34)
        answersLimit = try settings.integer("answers.limit", default: answersLimit, in: 1 << 20...1 << 34)
        requestTimeout = try settings.seconds("request.timeout.seconds", default: requestTimeout, in: 1...600)
        headerTimeout = try settings.seconds("header.timeout.seconds", default: headerTimeout, in: 1...600)
        bodyTimeout = try settings.seconds("body.timeout.seconds", default: bodyTimeout, in: 1...3600)
        uploadFloor = try settings.integer("upload.floor", default: uploadFloor, in: 1...1 << 30)
        keepAlive = try settings.seconds("keep.alive.seconds", default: keepAlive, in: 1...3600)
        connectionAge = try settings.seconds("connection.age.seconds", default: connectionAge, in: 0...86_400)
        connectionLimit = try settings.integer("connections", default: connectionLimit, in: 1...1_000_000)
        addressConnections = try settings.integer("address.connections", default: addressConnections, in: 1...1_000_000)
        inFlightLimit = try settings.integer("in.flight", default: inFlightLimit, in: 1...1_000_000)
        drain = try settings.seconds("drain.seconds", default: drain, in: 0...60)
        grace = try settings.seconds("grace.seconds", default: grace, in: 1...300)
        logLevel = try settings.parsed("log.level", default: logLevel, "trace, debug, info, notice, warning or error") {
            Logger.Level(setting: $0)
        }
        accessLog = try settings.parsed("access.log", default: accessLog, "json, combined or off") { AccessLogForm(rawValue: $0) }
        logsClients = try settings.flag("access.log.client", default: logsClients)
    }
}

extension PolicySettings {
    /// How long a connection of a client may be used; `nil` for ever. Not the same for all, or they would end and come back together.
    func clientLifetime() -> TimeAmount? {
        guard connectionAge > .zero else { return nil }
        return .nanoseconds(Int64(Double(connectionAge.nanoseconds) * .random(in: 0.75...1.25)))
    }
}

extension Settings {
    func seconds(_ key: String, default value: TimeAmount, in range: ClosedRange<Int>) throws -> TimeAmount {
        .seconds(Int64(try integer(key, default: Int(value.nanoseconds / 1_000_000_000), in: range)))
    }
}

extension Logger.Level {
    /// A level that an operator may choose.
    init?(setting text: String) {
        guard let level = Logger.Level(rawValue: text), level != .critical else { return nil }
        self = level
    }
}
