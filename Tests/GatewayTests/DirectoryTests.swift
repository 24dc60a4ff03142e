import Contracts
import Core
import Testing

@testable import Gateway

@Suite struct DirectoryTests {
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
        let directory = Directory()
        directory.setTenants([])
        #expect(directory.location(of: claims).country == "AT")
        directory.apply(said(nil))
        #expect(directory.location(of: claims).country == "AT", "a release that knows of no countries has cleared none")
        directory.apply(said(.init(country: "JP", version: 3)))
        #expect(directory.location(of: claims).country == "JP")
        directory.apply(said(.init(country: "DE", version: 2)))
        directory.apply(said(nil))
        #expect(directory.location(of: claims).country == "JP")
        // The messages of before are younger than this answer, and older by their version.
        directory.setTenants([said(.init(country: nil, version: 4))])
        #expect(directory.location(of: claims).country == nil)
        directory.apply(said(.init(country: "DE", version: 5)))
        directory.setTenants([said(.init(country: nil, version: 4))])
        #expect(directory.location(of: claims).country == "DE", "the answer was under way when the message came")
        #expect(directory.location(of: claims).currency == "EUR", "none of them has said another")
        #expect(directory.location(of: claims).timeZone == "UTC")
        directory.apply(said(.init(country: "JP", currency: "JPY", timeZone: "Asia/Tokyo", fiscalYearStarts: 4, version: 6)))
        #expect(directory.location(of: claims) == ("JP", "JPY", "Asia/Tokyo", 4))
        directory.apply(said(.init(country: "JP", fiscalYearStarts: 1, version: 7)))
        #expect(directory.location(of: claims).fiscalYearStarts == 1)
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
