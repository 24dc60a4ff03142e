import Operations

extension RedisConfiguration {
    /// What an operator says of Redis; the same for every process that uses it.
    public static let settings: [Setting] = [
        Setting("redis.url", "redis://127.0.0.1:6379", isSecret: true, "\(form); encrypted with rediss."),
        Setting(
            "redis.tls.mode", "verify-full",
            "With rediss: verify-full, verify-ca, which takes a certificate for any host name, or require, which takes any certificate."),
        Setting("redis.tls.root.certificates", "the system's", "File of the certificates to trust, in PEM, for verify-full and verify-ca."),
        Setting("redis.sentinel.user", "", "Name by which the sentinels know the caller; it counts with a password only."),
        Setting("redis.sentinel.password", isSecret: true, "Password that the sentinels themselves ask for."),
    ]

    /// - Throws: ``SettingError`` for a malformed setting, and for a file of certificates that cannot be read.
    public init(settings: Settings) throws {
        self = try settings.parsed("redis.url", default: RedisConfiguration(), Self.form, isSecret: true) { RedisConfiguration(url: $0) }
        let mode = try settings.parsed("redis.tls.mode", default: RedisTLS.Mode.verifyFull, "verify-full, verify-ca or require") {
            RedisTLS.Mode(rawValue: $0)
        }
        let certificates = try settings.optional("redis.tls.root.certificates")
        sentinelUser = try settings.optional("redis.sentinel.user")
        sentinelPassword = try settings.optional("redis.sentinel.password", isSecret: true)
        guard tls != nil else { return }
        do {
            tls = try RedisTLS(mode, rootCertificates: certificates)
        } catch {
            throw SettingError(
                key: Self.settings[2].key,
                description: "setting \(Self.settings[2].name): expected a file of certificates in PEM that can be read: \(error)")
        }
    }
}
