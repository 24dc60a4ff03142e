import Core
import NIOCore
import Operations
import ServiceRuntime

/// The settings of identity beside those of every service; ``settings`` lists them.
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

    public static let settings = [
        Setting(
            "key.encryption.key", isSecret: true, isRequired: true, "64 hexadecimal digits; encrypts the signing keys in the database."),
        Setting("issuer", "martlet", "Claim iss of access tokens; the same in the gateway."),
        Setting("audience", "martlet-api", "Claim aud of access tokens; the same in the gateway."),
        Setting("key.rotation.hours", "720", "Age at which a signing key gets a successor, 1 to 8760."),
        Setting("password.cost", "15", "Binary logarithm of scrypt's N, 15 to 20; each step doubles time and memory."),
        Setting("password.threads", "the number of cores", "Passwords hashed at once, 1 to 64."),
        Setting("password.queue", "32", "Callers that wait beyond those before the answer is 503, 0 to 1000."),
        Setting("signin.account.limit", "5", "Failed sign-ins of one account in 15 minutes, 1 to 100."),
        Setting("signin.address.limit", "50", "Failed sign-ins from one address in 15 minutes, 1 to 10000."),
        Setting("demo", "false", "Whether the password of the demo data is taken; never in production."),
    ]

    /// - Throws: ``SettingError``.
    public init(settings: Settings) throws {
        issuer = try settings.string("issuer", default: "martlet")
        audience = try settings.string("audience", default: "martlet-api")
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
