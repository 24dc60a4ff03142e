import Core
import JWTKit

/// Identity's public keys by their id.
struct SigningKeys: Sendable {
    struct Key: Sendable {
        /// `EdDSA` or `ES256`; a token must name the same.
        let algorithm: String
        let verifier: any JWTAlgorithm
    }

    private let keys: [String: Key]

    /// More keys than a rotation can need are not looked at.
    private static let limit = 16

    init(keys: [String: Key] = [:]) { self.keys = keys }

    subscript(id: String) -> Key? { keys[id] }
    var identifiers: Set<String> { Set(keys.keys) }

    /// Reads a JWK set. Keys of other kinds, for other uses, or malformed are left out.
    ///
    /// - Throws: ``Problem`` when it is not a JWK set at all.
    static func read(_ body: [UInt8]) async throws -> SigningKeys {
        guard let elements = try JSONParser.parse(body)["keys"]?.array else {
            throw Problem.internal("the key set has no keys")
        }
        var keys: [String: Key] = [:]
        for element in elements.prefix(limit) {
            guard let id = element["kid"]?.string, !id.isEmpty, id.utf8.count <= 64, element["use"].map({ $0.string == "sig" }) ?? true,
                let x = element["x"]?.string
            else { continue }
            // A collection of one: the only way that jwt-kit gives out a verifier.
            let collection = JWTKeyCollection()
            let identifier = JWKIdentifier(string: id)
            let algorithm: String
            switch (element["kty"]?.string, element["crv"]?.string) {
            case ("OKP", "Ed25519"):
                guard let key = try? EdDSA.PublicKey(x: x, curve: .ed25519) else { continue }
                await collection.add(eddsa: key, kid: identifier)
                algorithm = "EdDSA"
            case ("EC", "P-256"):
                guard let y = element["y"]?.string, let key = try? ES256PublicKey(parameters: (x, y)) else { continue }
                await collection.add(ecdsa: key, kid: identifier)
                algorithm = "ES256"
            default: continue
            }
            if let named = element["alg"], named.string != algorithm { continue }
            keys[id] = Key(algorithm: algorithm, verifier: try await collection.getKey(for: identifier))
        }
        return SigningKeys(keys: keys)
    }
}
