import Core
import Testing

@testable import Gateway

@Suite struct TenantResolutionTests {
    private let resolution = TenantResolution(baseDomain: "example.com")

    private func with<Result>(_ tenant: String, _ host: String, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Result)
        -> Result
    {
        Array(tenant.utf8).withUnsafeBytes { tenant in Array(host.utf8).withUnsafeBytes { body(tenant, $0) } }
    }

    /// Hosts as people and programs write them: in any case, with a port, with the dot of the root.
    @Test(arguments: [
        ("acme.example.com", true), ("ACME.Example.COM", true), ("acme.example.com:8080", true), ("acme.example.com.", true),
        ("acme.example.com.:443", true), ("api.example.com", true), ("API.example.com.", true), ("example.com", true), ("other.org", true),
        ("globexexample.com", true), ("[::1]:80", true), ("globex.example.com", false), ("globex.example.com.", false),
        ("globex.example.com..", false), ("GLOBEX.EXAMPLE.COM.:8080", false), ("acme.globex.example.com", false),
        ("globex.acme.example.com", false), ("platform.example.com", false), (".example.com", true), ("a-acme.example.com", false),
    ])
    func aHostOfAnotherTenantDoesNotAgree(host: String, agrees: Bool) {
        for resolution in [resolution, TenantResolution(baseDomain: ".example.com.")] {
            #expect(with("", host) { resolution.agrees(slug: Array("acme".utf8), tenant: $0, host: $1) } == agrees)
        }
        #expect(with("", host) { TenantResolution(baseDomain: nil).agrees(slug: Array("acme".utf8), tenant: $0, host: $1) })
        #expect(with("", host) { TenantResolution(baseDomain: ".").agrees(slug: Array("acme".utf8), tenant: $0, host: $1) })
    }

    @Test(arguments: [
        ("", "acme.example.com", "acme"), ("", "Acme.Example.com.:80", "acme"), ("Acme", "other.org", "acme"),
        ("acme", "ACME.example.com", "acme"), ("acme", "api.example.com", "acme"), ("platform", "platform.example.com", "platform"),
        ("", "api.example.com", ""), ("", "example.com", ""), ("", "other.org", ""), ("", "", ""),
        ("globex", "acme.example.com", "impossible"), ("", "a.acme.example.com", "impossible"), ("a b", "other.org", "impossible"),
        ("", "xn--mnchen-3ya.example.com", "impossible"), (String(repeating: "a", count: 41), "other.org", "impossible"),
    ])
    func whatARequestWithoutATokenNamesIsOneSlugOrNothing(tenant: String, host: String, name: String) {
        let expected: TenantResolution.Name =
            switch name {
            case "": .none
            case "impossible": .impossible
            default: .tenant(Array(name.utf8))
            }
        #expect(with(tenant, host) { resolution.named(tenant: $0, host: $1) } == expected)
    }

    @Test func aServiceIsToldWhatTheRequestNamesWhereNobodyHasToSignIn() async throws {
        try await TestGateway.with(configure: { $0.baseDomain = "example.com" }) { gateway async throws in
            func named(_ path: String, host: String, _ lines: String = "") async throws -> String? {
                let answer = try await gateway.send("GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\(lines)\r\n")
                #expect(answer.status == 200, "\(host) \(lines)")
                let request = try #require(gateway.upstream.requests.last { $0.target == path })
                return request.header("martlet-tenant")
            }
            #expect(try await named("/v1/auth/login", host: "Acme.example.com.") == "acme")
            #expect(try await named("/v1/auth/refresh", host: "x", "X-Tenant: globex\r\n") == "globex")
            #expect(try await named("/v1/auth/login", host: "x") == nil)
            // Nothing of that name comes from a client.
            #expect(try await named("/v1/auth/login", host: "x", "Martlet-Tenant: globex\r\nmartlet-tenant: acme\r\n") == nil)
            let token = "Authorization: Bearer \(gateway.key.token())\r\n"
            #expect(try await named("/v1/auth/login", host: "globex.example.com", token) == "globex")
            #expect(try await named("/v1/auth/refresh", host: "acme.example.com", token) == "acme")
            #expect(try await named("/v1/leads", host: "acme.example.com", token) == nil)
            for lines in ["Host: acme.example.com\r\nX-Tenant: globex\r\n", "Host: x\r\nX-Tenant: a b\r\n"] {
                let answer = try await gateway.send("GET /v1/auth/register HTTP/1.1\r\n\(lines)\r\n")
                #expect(try answer.status == 403 && JSONParser.parse(answer.body)["code"] == "tenant_mismatch")
            }
            #expect(!gateway.upstream.requests.contains { $0.target == "/v1/auth/register" })
        }
    }

    @Test func aTokenIsRefusedAtAHostOfAnotherTenantHoweverItIsWritten() async throws {
        try await TestGateway.with(configure: { $0.baseDomain = "example.com" }) { gateway async throws in
            let token = gateway.key.token()
            for (lines, status) in [
                ("Host: acme.example.com.\r\n", 200), ("Host: globex.example.com.\r\n", 403), ("Host: x\r\nX-Tenant: ACME\r\n", 200),
                ("Host: globex.example.com.:80\r\nX-Tenant: acme\r\n", 403),
            ] {
                let answer = try await gateway.send("GET /v1/leads HTTP/1.1\r\n\(lines)Authorization: Bearer \(token)\r\n\r\n")
                #expect(answer.status == status, "\(lines)")
            }
        }
    }
}
