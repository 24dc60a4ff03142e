import Contracts
import Core
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite struct OperatorTests {
    private static let path = "/internal/operators"

    @Test func anOperatorIsMadeOnceAndActsOnEveryTenant() async throws {
        try await IdentityPlatform.run { platform in
            let acme = try await platform.register("anna")
            let body: JSON = [
                "email": "operator@example.test", "name": "Operator", "password": .string(IdentityPlatform.password),
            ]
            let first = try await platform.identity.send(.post, Self.path, body, as: .anotherService, expecting: 200)
            #expect(first.json["created"]?.bool == true)
            #expect(first.json["tenant"]?["slug"]?.string == "platform")
            let again = try await platform.identity.send(.post, Self.path, body, as: .anotherService, expecting: 200)
            #expect(again.json["created"]?.bool == false)
            #expect(again.json["user"]?["id"] == first.json["user"]?["id"])
            let operatorSession = try SignedIn(try await platform.login("operator", expecting: 200).json)
            #expect(operatorSession.claims.role == "super_admin")
            #expect(operatorSession.claims.epoch == [1, 1])

            try await RevocationListener.run { listener in
                let path = "/v1/platform/tenants/\(acme.claims.tid)"
                try await platform.tenant.send(.patch, path, ["status": "suspended"], as: operatorSession.caller, expecting: 200)
                await listener.expect(
                    .tenant(
                        acme.member.tenant, epoch: 2, isActive: false,
                        location: .init(country: nil, currency: "USD", timeZone: "UTC", fiscalYearStarts: 1, version: 2)))
            }
            #expect(try await platform.login("anna", expecting: 403).code == "tenant_suspended")
        }
    }

    @Test func whoHasRegisteredTheAddressFirstDoesNotGetThePlatform() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            let body: JSON = ["email": "anna@example.test", "name": "X", "password": "quite another password"]
            let answer = try await platform.identity.send(.post, Self.path, body, as: .anotherService, expecting: 409)
            #expect(answer.json["detail"]?.string?.contains("account") == true)
            try await platform.login("anna", tenant: "platform", expecting: 403)
            try await platform.login("anna", password: "quite another password", expecting: 401)
        }
    }

    @Test func whoIsAUserAlreadyBecomesAnOperatorWithHisPassword() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            let body: JSON = ["email": "anna@example.test", "name": "X", "password": .string(IdentityPlatform.password)]
            let answer = try await platform.identity.send(.post, Self.path, body, as: .anotherService, expecting: 200)
            #expect(answer.json["created"]?.bool == false)
            #expect(answer.json["role"]?.string == "super_admin")
            let session = try SignedIn(try await platform.login("anna", tenant: "platform", expecting: 200).json)
            #expect(session.claims.role == "super_admin")
        }
    }

    @Test func nobodyButAServiceMakesOperators() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let body: JSON = ["email": "x@example.test", "name": "X", "password": .string(IdentityPlatform.password)]
            try await platform.identity.send(.post, Self.path, body, as: anna.caller, expecting: 404)
            try await platform.identity.send(.post, Self.path, body, as: .anybody(), expecting: 404)
            let weak = try await platform.identity.send(
                .post, Self.path, ["email": "x@example.test", "name": "X", "password": "1234567890"], as: .anotherService, expecting: 422)
            #expect(weak.json["errors"]?[0]?["pointer"]?.string == "/password")
        }
    }
}
