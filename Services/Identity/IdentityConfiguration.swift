import Core
import NIOCore
import ServiceRuntime

/// The settings of identity, beside those of every service (``RuntimeConfiguration``). Environment names in capitals.
///
/// | name | default | meaning |
/// |---|---|---|
/// | MARTLET_KEY_ENCRYPTION_KEY | required, secret | 64 hexadecimal digits; encrypts the signing keys in the database |
/// | MARTLET_ISSUER | martlet | claim `iss` of access tokens |
/// | MARTLET_AUDIENCE | martlet-api | claim `aud` of access tokens |
/// | MARTLET_KEY_ROTATION_HOURS | 720 | age at which a signing key gets a successor, 1…8760 |
/// | MARTLET_PASSWORD_COST | 15 | binary logarithm of scrypt's N, 15…20; each step doubles time and memory |
/// | MARTLET_PASSWORD_THREADS | number of cores | hashes computed at once, 1…64 |
/// | MARTLET_PASSWORD_QUEUE | 32 | callers that wait beyond those before the answer is 503, 0…1000 |
/// | MARTLET_SIGNIN_ACCOUNT_LIMIT | 5 | failed sign-ins of one account in 15 minutes, 1…100 |
/// | MARTLET_SIGNIN_ADDRESS_LIMIT | 50 | failed sign-ins from one address in 15 minutes, 1…10000 |
/// | MARTLET_DEMO | false | whether the demo's password is taken |
public struct IdentityConfiguration: Sendable {
    public var issuer: String
    public var audience: String
    public var keyRotationPeriod: Duration
    public var scrypt: Scrypt
    public var passwordThreads: Int
    public var passwordQueue: Int
    public var signInAccountLimit: Int
    public var signInAddressLimit: Int
    public var isDemo: Bool
    let keySeal: KeySeal

    /// - Throws: ``SettingError``.
    public init(settings: Settings) throws {
        issuer = settings.string("issuer", default: "martlet")
        audience = settings.string("audience", default: "martlet-api")
        keyRotationPeriod = .seconds(3600 * (try settings.integer("key.rotation.hours", default: 720, in: 1...8760)))
        scrypt = .standard
        scrypt.logN = try settings.integer("password.cost", default: Scrypt.standard.logN, in: Scrypt.standard.logN...20)
        passwordThreads = try settings.integer("password.threads", default: System.coreCount, in: 1...64)
        passwordQueue = try settings.integer("password.queue", default: 32, in: 0...1000)
        signInAccountLimit = try settings.integer("signin.account.limit", default: 5, in: 1...100)
        signInAddressLimit = try settings.integer("signin.address.limit", default: 50, in: 1...10_000)
        isDemo = try settings.flag("demo", default: false)
        keySeal = try settings.parsed("key.encryption.key", default: nil, "64 hexadecimal digits", isSecret: true) {
            KeySeal(hexadecimal: $0)
        }
    }
}
