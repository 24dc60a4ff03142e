import Contracts
import Core
import JWTKit

/// Signs access tokens with the key whose time it is.
struct AccessTokenIssuer: Sendable {
    let issuer: String
    let audience: String
    let keys: SigningKeys

    /// A token for the session, good for ``AccessClaims/lifetime`` seconds.
    func token(user: UserID, session: SessionID, membership: Membership) async throws -> String {
        let key = try await keys.signing()
        let claims = AccessClaims(issuer: issuer, audience: audience, user: user, session: session, membership: membership)
        let signer = await JWTKeyCollection().add(eddsa: EdDSA.PrivateKey(backing: key.privateKey), kid: JWKIdentifier(string: key.id))
        return try await signer.sign(
            SignedClaims(claims: claims), kid: JWKIdentifier(string: key.id), header: ["typ": .string(AccessClaims.type)])
    }
}

/// The claims as jwt-kit takes them.
private struct SignedClaims: JWTPayload {
    let claims: AccessClaims

    init(claims: AccessClaims) { self.claims = claims }
    init(from decoder: any Decoder) throws { claims = try AccessClaims(from: decoder) }
    func encode(to encoder: any Encoder) throws { try claims.encode(to: encoder) }

    /// Nothing reads tokens here; the gateway has its own checks.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}
