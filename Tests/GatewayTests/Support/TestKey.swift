import Core
import Crypto
import Foundation

/// An issuer of access tokens with an Ed25519 key of its own.
struct TestKey: Sendable {
    let id: String
    let key = Curve25519.Signing.PrivateKey()

    init(id: String = "test-1") { self.id = id }

    var jwk: JSON {
        [
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": .string(id),
            "x": .string(Base64URL.encode(key.publicKey.rawRepresentation)),
        ]
    }

    /// Signs any header and payload.
    func sign(header: String, payload: String) -> String {
        let signed = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
        // An Ed25519 private key signs whatever it is given.
        let signature = try! key.signature(for: Data(signed.utf8))
        return signed + "." + Base64URL.encode(signature)
    }

    var header: String { #"{"alg":"EdDSA","kid":"\#(id)","typ":"at+jwt"}"# }

    func token(for member: TestMember = TestMember(), change: (inout JSONObject) -> Void = { _ in }) -> String {
        var claims = member.claims
        change(&claims)
        return sign(header: header, payload: JSON.object(claims).description)
    }
}

/// A member of a tenant, with the claims that identity would give.
struct TestMember: Sendable {
    var tenant = TenantID()
    var user = UserID()
    var session = SessionID()
    var slug = "acme"
    var role = BuiltInRole.tenantAdmin
    var tenantRate: (Int, Int)? = (1_000_000, 1)
    var userRate: (Int, Int)?
    var lifetime: Int64 = 600

    var claims: JSONObject {
        let now = Timestamp.now.milliseconds / 1000
        var rate = JSONObject()
        if let tenantRate { rate["tenant"] = [.number(tenantRate.0), .number(tenantRate.1)] }
        if let userRate { rate["user"] = [.number(userRate.0), .number(userRate.1)] }
        let claims: JSON = [
            "iss": "martlet", "aud": "martlet-api", "sub": .string(user.description), "tid": .string(tenant.description),
            "sid": .string(session.description), "slug": .string(slug), "role": .string(role.rawValue),
            "permissions": .string(role.permissions.encoded), "scopes": .string(role.scopes.encoded), "plan": "enterprise",
            "limits": ["leads": 100], "rate": .object(rate), "epoch": [1, 1], "iat": .number(now), "exp": .number(now + lifetime),
        ]
        return claims.object ?? JSONObject()
    }
}
