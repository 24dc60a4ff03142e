import Contracts
import Core
import Foundation
import JWTKit
import NIOCore
import Testing

@testable import Gateway

@Suite struct RevocationStateTests {
    private let tenant = TenantID()

    private func said(_ location: Revocation.Location?) -> Revocation { .tenant(tenant, epoch: 1, isActive: true, location: location) }

    /// Another country raises no epoch: what is said of it is ordered by the tenant's version, however it comes.
    @Test func ofWhereATenantIsTheNewestHolds() {
        var context = RequestContext(tenant: tenant, user: UserID(), edge: EdgeContext(requestID: "r-1", deadline: .now))
        (context.country, context.currency) = ("AT", "EUR")
        let claims = TokenClaims(
            keyID: "k", tenant: tenant, user: context.user, session: SessionID(), slug: "acme", tenantEpoch: 1, memberEpoch: 1,
            role: "sales",
            expiresAt: .max, context: context)
        let state = RevocationState()
        state.setTenants([])
        #expect(state.location(of: claims).country == "AT")
        state.apply(said(nil))
        #expect(state.location(of: claims).country == "AT", "a release that knows of no countries has cleared none")
        state.apply(said(.init(country: "JP", version: 3)))
        #expect(state.location(of: claims).country == "JP")
        state.apply(said(.init(country: "DE", version: 2)))
        state.apply(said(nil))
        #expect(state.location(of: claims).country == "JP")
        // The messages of before are younger than this answer, and older by their version.
        state.setTenants([said(.init(country: nil, version: 4))])
        #expect(state.location(of: claims).country == nil)
        state.apply(said(.init(country: "DE", version: 5)))
        state.setTenants([said(.init(country: nil, version: 4))])
        #expect(state.location(of: claims).country == "DE", "the answer was under way when the message came")
        #expect(state.location(of: claims).currency == "EUR", "none of them has said another")
        #expect(state.location(of: claims).timeZone == "UTC")
        state.apply(said(.init(country: "JP", currency: "JPY", timeZone: "Asia/Tokyo", fiscalYearStarts: 4, version: 6)))
        #expect(state.location(of: claims) == ("JP", "JPY", "Asia/Tokyo", 4))
        state.apply(said(.init(country: "JP", fiscalYearStarts: 1, version: 7)))
        #expect(state.location(of: claims).fiscalYearStarts == 1)
    }

    /// A message costs the same however many came before it: all event loops take the lock that it holds. Two thousand are timed before and
    /// after fifty thousand others, the shortest of three tries each.
    @Test func aFloodOfMessagesMakesNoneDearer() {
        let state = RevocationState()
        state.setSessions([])
        func time() -> Duration {
            let tries = (0..<3).map { _ in
                ContinuousClock().measure { for _ in 0..<2000 { state.apply(.session(SessionID())) } }
            }
            return tries.min() ?? .zero
        }
        let before = time()
        for _ in 0..<50_000 { state.apply(.session(SessionID())) }
        #expect(time() < before * 10)
    }

    /// An answer that was under way when a message came does not undo it; one that began long after has the last word.
    @Test func messagesOutweighTheAnswersOfAMoment() {
        let state = RevocationState()
        let ended = SessionID()
        let claims = claims(session: ended)
        let start = NIODeadline.now()
        state.setKeys(SigningKeys(keys: ["k": .init(algorithm: "EdDSA", verifier: NoAlgorithm())]), now: start)
        state.setTenants([], now: start)
        state.setSessions([], now: start)
        #expect(state.validity(of: claims) == .current)
        state.apply(.session(ended))
        #expect(state.validity(of: claims) == .stale)
        state.setSessions([], now: start + .seconds(14))
        #expect(state.validity(of: claims) == .stale)
        state.setSessions([], now: start + .seconds(16))
        #expect(state.validity(of: claims) == .stale)
        state.setSessions([], now: start + .seconds(40))
        #expect(state.validity(of: claims) == .current, "the token has ended by itself, so identity does not tell of the session any more")
    }

    @Test func whatIsKnownIsTrustedForSoLongOnly() {
        let state = RevocationState(maximumAge: .seconds(600))
        let start = NIODeadline.now()
        state.setKeys(SigningKeys(), now: start)
        state.setTenants([], now: start)
        #expect(!state.isReady)
        state.setSessions([], now: start)
        #expect(state.isReady)
        state.noteFailure(of: .identity, now: start + .seconds(599))
        state.setTenants([], now: start + .seconds(599))
        #expect(state.isReady)
        state.noteFailure(of: .identity, now: start + .seconds(601))
        #expect(!state.isReady)
        #expect(state.sources.map(\.failures) == [2, 0, 0])
        state.setSessions([], now: start + .seconds(602))
        #expect(state.isReady)
    }

    private func claims(session: SessionID) -> TokenClaims {
        let context = RequestContext(tenant: tenant, user: UserID(), edge: EdgeContext(requestID: "r-1", deadline: .now))
        return TokenClaims(
            keyID: "k", tenant: tenant, user: context.user, session: session, slug: "acme", tenantEpoch: 1, memberEpoch: 1, role: "sales",
            expiresAt: .max, context: context)
    }

    private struct NoAlgorithm: JWTAlgorithm {
        let name = "none"
        func sign(_ plaintext: some DataProtocol) throws -> [UInt8] { [] }
        func verify(_ signature: some DataProtocol, signs plaintext: some DataProtocol) throws -> Bool { false }
    }

    /// Class A6: messages over Redis are not signed, and what they say goes into the signed context.
    @Test(arguments: ["AT,", "A,", "A;", "A\r", "\r\n", "at", "", 1, ["AT"]] as [JSON])
    func whatIsNoCountrySaysNothing(_ country: JSON) {
        let id = JSON.string(tenant.description)
        let message: JSON = ["kind": "tenant", "id": id, "epoch": 2, "status": "suspended", "country": country, "version": 3]
        #expect(Revocation(json: message) == .tenant(tenant, epoch: 2, isActive: false, location: nil))
        let rate = RateLimits(tenant: RateLimit(count: 1, period: 1), user: RateLimit(count: 1, period: 1))
        let home = Membership.Tenant(
            id: tenant, slug: "acme", name: "A", isActive: true, plan: "pro", country: country.string, currency: country.string ?? "",
            epoch: 1)
        let membership = Membership(
            tenant: home, role: "sales", permissions: PermissionSet(), scopes: RowScopes(), limits: [:], rate: rate, epoch: 1)
        let read = Membership(json: membership.json)
        #expect(read != nil && read?.tenant.country == nil && read?.tenant.currency == "USD")
        let older: JSON = ["kind": "tenant", "id": id, "epoch": 1, "status": "active"]
        #expect(Revocation(json: older) == said(nil))
    }
}
