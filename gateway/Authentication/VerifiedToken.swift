import Contracts
import Core
import NIOCore

/// A token that was verified, with all that a request needs of it made ready once. Belongs to one event loop.
final class VerifiedToken {
    let bytes: [UInt8]
    let claims: TokenClaims
    let slug: [UInt8]
    /// The claims part of the signed context.
    private(set) var contextClaims: [UInt8]
    /// The tenant's id as text, for logs.
    let tenantText: [UInt8]
    let userLimit: LeasedBucket?
    let tenantLimit: LeasedBucket?
    /// The `RateLimit-Policy` line.
    let policyLine: [UInt8]
    /// Where its tenant is, what it counts in and by, as the context says.
    private var location: (country: String?, currency: String, timeZone: String, fiscalYearStarts: Int)
    /// The version of ``RevocationState`` at which ``validity`` was looked up.
    private var checkedVersion: UInt64 = 0
    private(set) var validity = RevocationState.Validity.current

    init(bytes: [UInt8], claims: TokenClaims, limiter: RateLimiter) {
        self.bytes = bytes
        self.claims = claims
        slug = Array(claims.slug.utf8)
        contextClaims = Array(ContextSigner.claims(of: claims.context).utf8)
        let context = claims.context
        location = (context.country, context.currency, context.timeZone, context.fiscalYearStarts)
        tenantText = Array(claims.tenant.description.utf8)
        userLimit = claims.userRate.map { limiter.bucket("user:\(claims.tenant):\(claims.user)", name: "user", policy: $0) }
        tenantLimit = claims.tenantRate.map { limiter.bucket("tenant:\(claims.tenant)", name: "tenant", policy: $0) }
        let policies = [userLimit, tenantLimit].compactMap(\.self).map { "\"\($0.name)\";q=\($0.policy.count);w=\($0.policy.period)" }
        policyLine = policies.isEmpty ? [] : Array("RateLimit-Policy: \(policies.joined(separator: ", "))\r\n".utf8)
    }

    /// Looks up what has changed since the token was made, once for each version of the revocations.
    func check(against revocations: RevocationState) {
        let version = revocations.version
        guard checkedVersion != version else { return }
        validity = revocations.validity(of: claims)
        checkedVersion = version
        let location = revocations.location(of: claims)
        guard location != self.location else { return }
        self.location = location
        var context = claims.context
        (context.country, context.currency, context.timeZone, context.fiscalYearStarts) = location
        contextClaims = Array(ContextSigner.claims(of: context).utf8)
    }
}

/// The verified tokens of one event loop: at most 10,000, found by a seeded hash and compared in full.
struct TokenCache {
    private var entries = GenerationCache<UInt64, VerifiedToken>(limit: 10_000)

    var count: Int { entries.count }

    /// The entry for exactly these bytes, together with the place where it would stand.
    mutating func find(_ token: UnsafeRawBufferPointer) -> (place: UInt64, entry: VerifiedToken?) {
        // Hasher is SipHash with a seed of this process: nobody outside can make two tokens meet on purpose. Should two meet by
        // chance, the comparison tells them apart and the newer takes the place.
        var hasher = Hasher()
        hasher.combine(bytes: token)
        let place = UInt64(bitPattern: Int64(hasher.finalize()))
        guard let entry = entries[place], token.equals(entry.bytes) else { return (place, nil) }
        return (place, entry)
    }

    mutating func insert(_ entry: VerifiedToken, at place: UInt64) { entries[place] = entry }
}
