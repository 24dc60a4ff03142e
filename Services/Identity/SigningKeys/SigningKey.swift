import Core
import Crypto

/// A key pair of Ed25519 that signs access tokens.
struct SigningKey: Sendable {
    /// The `kid` of tokens.
    let id: String
    let privateKey: Curve25519.Signing.PrivateKey
    /// The instant from which it signs, unless a newer one does.
    let signsFrom: Timestamp

    init(id: String, privateKey: Curve25519.Signing.PrivateKey, signsFrom: Timestamp) {
        self.id = id
        self.privateKey = privateKey
        self.signsFrom = signsFrom
    }

    /// A new key pair.
    init(signsFrom: Timestamp) {
        self.init(id: Identifier<Never>().description, privateKey: Curve25519.Signing.PrivateKey(), signsFrom: signsFrom)
    }

    /// The public half as a JSON Web Key (RFC 8037).
    var jwk: JSON {
        [
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": .string(id),
            "x": .string(Base64URL.encode(privateKey.publicKey.rawRepresentation)),
        ]
    }
}

/// Encrypts private keys for the database: whoever has a dump of it cannot sign.
struct KeySeal: Sendable {
    private let key: SymmetricKey

    /// - Parameter digits: 64 hexadecimal digits; `nil` for anything else.
    init?(hexadecimal digits: String) {
        guard let bytes = Hex.decode(digits), bytes.count == 32 else { return nil }
        key = SymmetricKey(data: bytes)
    }

    /// A key for another purpose, made from this one (HKDF, RFC 5869).
    func derivedKey(for purpose: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Array("martlet identity \(purpose)".utf8), outputByteCount: 32)
    }

    /// AES-256-GCM, base64url of nonce, ciphertext and tag. The id is authenticated too: a row cannot stand in for another.
    func seal(_ signingKey: SigningKey) throws -> String {
        let box = try AES.GCM.seal(
            signingKey.privateKey.rawRepresentation, using: key, authenticating: Array(signingKey.id.utf8))
        guard let combined = box.combined else { throw KeySealError() }
        return Base64URL.encode(combined)
    }

    /// - Throws: ``KeySealError`` when the row was sealed under another key, or changed.
    func open(_ sealed: String, id: String, signsFrom: Timestamp) throws -> SigningKey {
        guard let combined = Base64URL.decode(sealed), let box = try? AES.GCM.SealedBox(combined: combined),
            let bytes = try? AES.GCM.open(box, using: key, authenticating: Array(id.utf8)),
            let privateKey = try? Curve25519.Signing.PrivateKey(rawRepresentation: bytes)
        else { throw KeySealError() }
        return SigningKey(id: id, privateKey: privateKey, signsFrom: signsFrom)
    }
}

/// A stored signing key cannot be read.
struct KeySealError: Error, CustomStringConvertible {
    var description: String { "a stored signing key was not sealed under the present MARTLET_KEY_ENCRYPTION_KEY" }
}
