import Contracts
import Core
import JWTKit

/// Why a token is not accepted. Only what helps an honest caller reaches the answer.
enum TokenFault: Error, Equatable {
    /// Malformed, forged, for another audience: the same answer for all.
    case invalid
    /// Signed with a key that is not known here, perhaps not yet.
    case unknownKey
}

/// What an access token says, checked.
struct TokenClaims: Sendable {
    var keyID: String
    var tenant: TenantID
    var user: UserID
    var session: SessionID
    var slug: String
    var tenantEpoch: Int64
    var memberEpoch: Int64
    var role: String
    /// `nil` for a role that every tenant has.
    var roleEpoch: Int64?
    /// Milliseconds since 1970.
    var expiresAt: Int64
    var tenantRate: RateLimit?
    var userRate: RateLimit?
    /// What services are told, but for what is a request's own.
    var context: RequestContext
}

/// Checks access tokens (RFC 9068, RFC 8725). jwt-kit checks the signature; what it leaves to its caller is checked here, before.
///
/// Claims are read by name. What a newer identity adds (a claim, a permission, a limit of another form) gives nothing here and
/// refuses nothing, so that gateway and identity can be exchanged one after the other; `crit` is how it would say otherwise.
struct TokenVerifier: Sendable {
    static let sizeLimit = 8 * 1024
    /// An issuer's clock may be ahead by this, in seconds. An expiry has no leeway: gateways' clocks are kept.
    private static let issuedLeeway: Int64 = 60

    let issuer: String
    let audience: String

    /// What a genuine token says. It may have expired: that is for the caller to see, by ``TokenClaims/expiresAt``.
    func verify(_ token: UnsafeRawBufferPointer, keys: SigningKeys, now: Timestamp = .now) throws(TokenFault) -> TokenClaims {
        guard token.count <= Self.sizeLimit else { throw .invalid }
        let parts = token.split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3,
            let headerBytes = Base64URL.decode(String(decoding: parts[0], as: UTF8.self)),
            let payloadBytes = Base64URL.decode(String(decoding: parts[1], as: UTF8.self)),
            let signature = Base64URL.decode(String(decoding: parts[2], as: UTF8.self)), signature.count == 64,
            let header = try? JSONParser.parse(headerBytes, limits: .init(depth: 2, values: 16)).object,
            // No `crit`, `jku`, `jwk`, `x5u`: what identity does not write is not looked past.
            header.members.count == 3, header["typ"]?.string == AccessClaims.type,
            let algorithm = header["alg"]?.string, algorithm == "EdDSA" || algorithm == "ES256",
            let keyID = header["kid"]?.string, !keyID.isEmpty, keyID.utf8.count <= 64,
            let payload = try? JSONParser.parse(payloadBytes, limits: .init(depth: 8, values: 1024))
        else { throw .invalid }
        guard let key = keys[keyID] else { throw .unknownKey }
        let signed = Array(token[..<(parts[0].count + 1 + parts[1].count)])
        guard key.algorithm == algorithm, (try? key.verifier.verify(signature, signs: signed)) == true else { throw .invalid }
        return try claims(payload, keyID: keyID, now: now)
    }

    private func claims(_ payload: JSON, keyID: String, now: Timestamp) throws(TokenFault) -> TokenClaims {
        let seconds = now.milliseconds / 1000
        guard payload["iss"]?.string == issuer, payload["aud"]?.string == audience,
            let expires = payload["exp"]?.integer, let issued = payload["iat"]?.integer, (0..<1 << 40).contains(expires), issued >= 0,
            issued <= seconds + Self.issuedLeeway,
            payload["nbf"].map({ ($0.integer ?? .max) <= seconds + Self.issuedLeeway }) ?? true,
            let user = payload["sub"]?.string.flatMap({ UserID($0) }), let tenant = payload["tid"]?.string.flatMap({ TenantID($0) }),
            let session = payload["sid"]?.string.flatMap({ SessionID($0) }), let slug = payload["slug"]?.string, Self.isName(slug),
            let role = payload["role"]?.string, Self.isName(role), let plan = payload["plan"]?.string, Self.isName(plan),
            let permissions = payload["permissions"]?.string.flatMap({ PermissionSet(encoded: $0) }),
            let scopes = payload["scopes"]?.string.flatMap({ RowScopes(encoded: $0) }),
            let fields = (payload["fields"] ?? "").string.flatMap({ FieldRules(encoded: $0) }),
            let epoch = payload["epoch"]?.array, epoch.count >= 2, let tenantEpoch = epoch[0].integer, let memberEpoch = epoch[1].integer,
            let limitMembers = payload["limits"]?.object?.members, let rate = payload["rate"]?.object
        else { throw .invalid }
        var limits: [String: Int] = [:]
        for member in limitMembers {
            if Self.isName(member.name), let value = member.value.integer { limits[member.name] = Int(value) }
        }
        let tenantRate = try Self.policy(rate["tenant"])
        let userRate = try Self.policy(rate["user"])
        let context = RequestContext(
            tenant: tenant, user: user, session: session, role: role, permissions: permissions, scopes: scopes, fields: fields, plan: plan,
            limits: limits, country: payload["country"]?.string.flatMap { Country.code($0) },
            currency: payload["currency"]?.string.flatMap { Currency.code($0) } ?? Currency.initial,
            timeZone: payload["zoneinfo"]?.string.flatMap { TimeZoneName.form($0) } ?? TimeZoneName.initial,
            fiscalYearStarts: payload["fiscal"]?.integer.flatMap { FiscalYear.start($0) } ?? FiscalYear.initial,
            edge: EdgeContext(requestID: "", deadline: now))
        return TokenClaims(
            keyID: keyID, tenant: tenant, user: user, session: session, slug: slug, tenantEpoch: tenantEpoch, memberEpoch: memberEpoch,
            role: role, roleEpoch: epoch.count > 2 ? epoch[2].integer : nil, expiresAt: expires * 1000, tenantRate: tenantRate,
            userRate: userRate, context: context)
    }

    private static func policy(_ json: JSON?) throws(TokenFault) -> RateLimit? {
        guard let json else { return nil }
        guard let limit = RateLimit(json: json) else { throw .invalid }
        return limit
    }

    /// Names go into the signed context, whose separators must not be in them.
    private static func isName(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { isRequestID(UnsafeRawBufferPointer($0)) }
    }
}
