import Core
import NIOCore
import Operations
import Redis

/// What a gateway is for as long as its process runs, and with what it begins of what may change (``PolicySettings``); ``settings``
/// lists both.
@dynamicMemberLookup
public struct GatewayConfiguration: Sendable {
    public var host = "127.0.0.1"
    public var port = 8080
    /// Without them ``port`` speaks clear text.
    public var certificateFiles: CertificateFiles?
    /// Clear text beside TLS, where it is asked for.
    public var clearTextPort: Int?
    /// TLS handshakes at once, in each thread.
    public var handshakeLimit = 512
    /// Those of one address among them.
    public var addressHandshakeLimit = 32
    public var adminHost = "127.0.0.1"
    public var adminPort = 8180
    public var redis = RedisConfiguration()
    public var contextKeys: ContextKeys
    public var issuer = "martlet"
    public var audience = "martlet-api"
    /// Whether every connection begins with a header of the PROXY protocol, which only ``PolicySettings/trustedProxies`` may send.
    public var readsProxyProtocol = false
    public var eventLoops = System.coreCount
    public var upstreamConnectionLimit = 64
    public var upstreamConnectionAge = TimeAmount.seconds(60)
    /// How old what is known of revocations may be.
    public var revocationAge = TimeAmount.seconds(600)
    public var policy = PolicySettings()
    /// No setting: what there is.
    var routes = RouteTable()

    /// The defaults, with the keys that have none.
    public init(contextKeys: ContextKeys) { self.contextKeys = contextKeys }

    /// The settings that may change read as the others do.
    public subscript<Value>(dynamicMember path: WritableKeyPath<PolicySettings, Value>) -> Value {
        get { policy[keyPath: path] }
        set { policy[keyPath: path] = newValue }
    }

    private static let processSettings: [Setting] =
        [
            Setting("host", "127.0.0.1", "Address to listen on; 0.0.0.0 in a container."),
            Setting("port", "8080", "Port of the API; 0 takes a free one. It speaks TLS with MARTLET_TLS_CERTIFICATE, else clear text."),
            Setting(
                "tls.certificate", "",
                "File with the certificate and those that lead to its authority, in PEM; a changed one is taken within a second."),
            Setting("tls.key", "", "File with its private key in PEM, without a pass phrase."),
            Setting("tls.handshakes", "512", "TLS handshakes at once in each thread, 1 to 100000; beyond it the oldest gives way."),
            Setting("tls.handshakes.per.address", "32", "Those of one address, or one /64 of IPv6, among them, 1 to 100000."),
            Setting("http.port", "", "A second port, for clear text, beside TLS; without it none listens."),
            Setting("admin.host", "127.0.0.1", "Address of /livez, /readyz, /metrics and what else operators ask."),
            Setting("admin.port", "MARTLET_PORT + 100", "Port of /livez, /readyz, /metrics and what else operators ask."),
        ] + RedisConfiguration.settings + [
            ContextKeys.setting,
            Setting("issuer", "martlet", "Claim iss that access tokens must have; the same in identity."),
            Setting("audience", "martlet-api", "Claim aud that access tokens must have; the same in identity."),
            Setting(
                "proxy.protocol", "false",
                "Whether every connection begins with a header of the PROXY protocol, version 2, that names its client; then only trusted.proxies may connect."
            ),
            Setting("event.loops", "the number of cores", "Threads, 1 to 64."),
            Setting(
                "upstream.connections", "64",
                "Requests at a time per service address and thread, 1 to 4096; fewer while more make it no faster."),
            Setting(
                "upstream.connection.seconds", "60",
                "How long a connection to a service is used, a quarter more or less, 0 to 86400; 0: for one request."
            ),
            Setting(
                "revocations.age.seconds", "600",
                "How long the gateway goes by what it knows of ended sessions and suspended tenants while it cannot learn more, 60 to 86400; then it is not ready and takes no token."
            ),
        ]

    /// In the order in which an operator reads them; first those that a reload changes.
    public static let settings: [Setting] = PolicySettings.settings + processSettings

    /// A value for the setting that must be given, with which a check of all others goes on.
    private static let standIns = [
        ContextKeys.setting.key: ServiceName.allCases.map {
            "check:\(ContextPair.gateway)-\($0.rawValue):" + String(repeating: "0", count: 64)
        }
        .joined(separator: ",")
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
        let policy = try PolicySettings(settings: settings)
        self.init(contextKeys: try ContextKeys(settings, of: ContextPair.gateway))
        self.policy = policy
        host = try settings.string("host", default: host)
        port = try settings.integer("port", default: port, in: 0...65535)
        switch (try settings.optional("tls.certificate"), try settings.optional("tls.key")) {
        case (let certificate?, let key?): certificateFiles = CertificateFiles(certificate: certificate, key: key)
        case (nil, nil): break
        case (nil, _):
            throw SettingError(
                key: "tls.key", description: "setting MARTLET_TLS_CERTIFICATE: expected a file, as MARTLET_TLS_KEY names one")
        case (_, nil):
            throw SettingError(
                key: "tls.certificate", description: "setting MARTLET_TLS_KEY: expected a file, as MARTLET_TLS_CERTIFICATE names one")
        }
        handshakeLimit = try settings.integer("tls.handshakes", default: handshakeLimit, in: 1...100_000)
        addressHandshakeLimit = try settings.integer("tls.handshakes.per.address", default: addressHandshakeLimit, in: 1...100_000)
        if try settings.optional("http.port") != nil {
            guard certificateFiles != nil else {
                throw SettingError(
                    description: "setting MARTLET_HTTP_PORT: expected MARTLET_TLS_CERTIFICATE beside it; else MARTLET_PORT is clear text")
            }
            clearTextPort = try settings.integer("http.port", default: 0, in: 0...65535)
        }
        adminHost = try settings.string("admin.host", default: adminHost)
        adminPort = try settings.integer("admin.port", default: port == 0 ? 0 : min(port + 100, 65535), in: 0...65535)
        redis = try RedisConfiguration(settings: settings)
        issuer = try settings.string("issuer", default: issuer)
        audience = try settings.string("audience", default: audience)
        readsProxyProtocol = try settings.flag("proxy.protocol", default: readsProxyProtocol)
        if readsProxyProtocol, policy.trustedProxies.isEmpty {
            throw SettingError(
                key: "proxy.protocol", description: "setting MARTLET_PROXY_PROTOCOL: expected MARTLET_TRUSTED_PROXIES with it")
        }
        eventLoops = try settings.integer("event.loops", default: eventLoops, in: 1...64)
        upstreamConnectionLimit = try settings.integer("upstream.connections", default: upstreamConnectionLimit, in: 1...4096)
        upstreamConnectionAge = try settings.seconds("upstream.connection.seconds", default: upstreamConnectionAge, in: 0...86_400)
        revocationAge = try settings.seconds("revocations.age.seconds", default: revocationAge, in: 60...86_400)
    }

    /// What is wrong with the settings, all of it; the start would stop at the first.
    public static func faults(in settings: Settings) throws -> [SettingError] {
        try settings.faults(standIns: standIns) { _ = try GatewayConfiguration(settings: $0) }
    }

    /// The settings in which the other differs and that a running process cannot follow.
    func fixedChanges(to other: GatewayConfiguration) -> [String] {
        func change<Value: Equatable>(_ key: String, _ path: KeyPath<GatewayConfiguration, Value>) -> String? {
            self[keyPath: path] == other[keyPath: path] ? nil : key
        }
        return [
            change("host", \.host), change("port", \.port), change("admin.host", \.adminHost), change("admin.port", \.adminPort),
            String(describing: redis) == String(describing: other.redis) ? nil : "redis.url",
            signers.map(\.prefix) == other.signers.map(\.prefix) ? nil : ContextKeys.setting.key,
            change("issuer", \.issuer), change("tls.certificate", \.certificateFiles?.certificate),
            change("tls.key", \.certificateFiles?.key),
            change("tls.handshakes", \.handshakeLimit), change("tls.handshakes.per.address", \.addressHandshakeLimit),
            change("http.port", \.clearTextPort),
            change("audience", \.audience), change("proxy.protocol", \.readsProxyProtocol), change("event.loops", \.eventLoops),
            change("upstream.connections", \.upstreamConnectionLimit),
            change("upstream.connection.seconds", \.upstreamConnectionAge), change("revocations.age.seconds", \.revocationAge),
        ].compactMap(\.self)
    }
}
