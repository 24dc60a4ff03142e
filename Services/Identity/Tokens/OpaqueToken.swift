import Contracts
import Core
import Crypto

/// A secret that only its holder has: 256 random bits behind a prefix that says what it is. Stored as ``hash`` only.
struct OpaqueToken: Sendable {
    /// Refresh tokens: `mr_…`.
    static let refreshPrefix = "mr_"

    let text: String

    init(prefix: String) {
        var generator = SystemRandomNumberGenerator()
        text = prefix + Base64URL.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// Reads a token as its holder sends it; `nil` when it is none of this kind.
    init?(_ text: String, prefix: String) {
        guard text.utf8.count == prefix.utf8.count + 43, text.hasPrefix(prefix),
            Base64URL.decode(text.dropFirst(prefix.utf8.count)) != nil
        else { return nil }
        self.text = text
    }

    /// SHA-256 in hexadecimal digits. No salt and no cost: there is nothing to guess in 256 random bits.
    var hash: String { Hex.encode(SHA256.hash(data: Array(text.utf8))) }
}
