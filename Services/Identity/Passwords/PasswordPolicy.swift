import Contracts
import Core

/// Which passwords may be chosen: long enough and not the first that anybody would guess; no rules on composition.
public struct PasswordPolicy: Sendable {
    /// Unicode scalars, as JSON Schema counts.
    public static let length = 10...256
    /// Bytes of UTF-8; characters can be of many.
    public static let maximumBytes = 1024
    /// What the demo's people sign in with.
    public static let demoPassword = "martlet-demo"

    /// Whether the demo's password is taken: only where ``IdentityConfiguration/isDemo`` says so.
    public var allowsDemoPassword: Bool

    public init(allowsDemoPassword: Bool) { self.allowsDemoPassword = allowsDemoPassword }

    /// What is wrong with a new password, or `nil`.
    public func fault(of password: String, email: EmailAddress?) -> ValueFault? {
        guard password.utf8.count <= Self.maximumBytes else { return ValueFault(.tooLong, "At most \(Self.maximumBytes) bytes.") }
        let length = password.unicodeScalars.count
        guard length >= Self.length.lowerBound else { return ValueFault(.tooShort, "At least \(Self.length.lowerBound) characters.") }
        guard length <= Self.length.upperBound else { return ValueFault(.tooLong, "At most \(Self.length.upperBound) characters.") }
        guard !password.utf8.contains(0) else { return ValueFault(.invalidText, "A password cannot contain NUL.") }
        let lowercase = password.lowercased()
        if let email, lowercase == email.key || lowercase == email.key.split(separator: "@")[0] {
            return ValueFault(.tooCommon, "The password cannot be the e-mail address.")
        }
        if CommonPasswords.contain(lowercase) || Set(lowercase).count < 4 {
            return ValueFault(.tooCommon, "This password is among the first that would be guessed.")
        }
        guard accepts(password) else { return ValueFault(.tooCommon, "The demo's password works in the demo only.") }
        return nil
    }

    /// Whether the password can be signed in with at all.
    func accepts(_ password: String) -> Bool { allowsDemoPassword || password != Self.demoPassword }

    /// Whether a password can be looked at: no work is spent on what no account can have.
    func isPlausible(_ password: String) -> Bool { (1...Self.maximumBytes).contains(password.utf8.count) && !password.utf8.contains(0) }
}
