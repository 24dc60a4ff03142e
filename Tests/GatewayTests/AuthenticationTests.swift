import Contracts
import Core
import Foundation
import NIOPosix
import Operations
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Gateway

@Suite struct AuthenticationTests {
    private func code(_ answer: TestClient.Answer) throws -> String? { try JSONParser.parse(answer.body)["code"]?.string }

    /// Activity refuses for three seconds and then takes it; what it has not taken when the gateway is told to stop, it gets before the end.
    @Test func aSecurityEventIsOfferedUntilActivityTakesIt() async throws {
        let upstream = TestUpstream(keys: [], script: { _ in .ok() })
        let key = TestKey()
        upstream.state.withLock { state in
            state.keys = [key.jwk]
            state.eventRefusals = 6
        }
        let upstreamPort = try await upstream.start()
        try await TestGateway.with(key: key, upstream: upstream, upstreamPort: upstreamPort) { gateway async throws in
            let answer = try await gateway.get("/v1/leads", token: key.token(), headers: "X-Tenant: globex\r\n")
            #expect(answer.status == 403)
            try await eventually("activity has it") { upstream.state.withLock { $0.takenEvents } == 1 }
            upstream.state.withLock { $0.eventRefusals = 2 }
            _ = try await gateway.get("/v1/leads", token: key.token(), headers: "X-Tenant: globex\r\n")
        }
        #expect(upstream.state.withLock { $0.takenEvents } == 2)
        await upstream.stop()
    }

    @Test func withoutATokenOnlyOpenRoutesAreForwarded() async throws {
        try await TestGateway.with { gateway async throws in
            for path in ["/v1/auth/login", "/.well-known/openid-configuration", "/v1/plans"] {
                let answer = try await gateway.get(path)
                #expect(answer.status == 200, "\(path)")
            }
            let request = try #require(gateway.upstream.requests.first)
            let caller = try request.caller(to: .identity)
            guard case .anonymous = caller else {
                Issue.record("not anonymous: \(caller)")
                return
            }
            for path in ["/v1/leads", "/v1/me", "/v1/plan", "/v1/authorize/explain", "/v1/nothing", "/internal/gateway-state", "/metrics"] {
                let answer = try await gateway.get(path)
                #expect(answer.status == 401, "\(path)")
                #expect(answer.header("www-authenticate") == "Bearer")
            }
            #expect(gateway.upstream.requests.count == 3)
        }
    }

    @Test func pathsOutsideTheTableAreNotThereEvenForMembers() async throws {
        try await TestGateway.with { gateway async throws in
            let token = gateway.key.token()
            for path in [
                "/", "/internal/gateway-state", "/internal/events", "/v1", "/v1/lead", "/v1/leadsx", "/V1/leads", "/v1/Leads", "/metrics",
            ] {
                let answer = try await gateway.get(path, token: token)
                #expect(answer.status == 404, "\(path)")
            }
            #expect(gateway.upstream.requests.isEmpty)
        }
    }

    /// A11 to A15: every flaw gives the same answer, and nothing reaches a service.
    @Test func aTokenWithAnyFlawIsRefusedWithOneText() async throws {
        try await TestGateway.with { gateway async throws in
            let key = gateway.key
            let other = TestKey(id: key.id)
            let good = key.token()
            let parts = good.split(separator: ".").map(String.init)
            let payload = JSON.object(TestMember().claims).description
            func signed(_ header: String) -> String { key.sign(header: header, payload: payload) }
            func claim(_ name: String, _ value: JSON?) -> String { key.token { $0[name] = value } }
            var tokens = [
                "none": Base64URL.encode(Array(#"{"alg":"none","kid":"test-1","typ":"at+jwt"}"#.utf8)) + ".\(parts[1]).",
                "forged": other.token(), "wrong type": signed(#"{"alg":"EdDSA","kid":"test-1","typ":"JWT"}"#),
                "no type": signed(#"{"alg":"EdDSA","kid":"test-1"}"#),
                "None": signed(#"{"alg":"None","kid":"test-1","typ":"at+jwt"}"#),
                "other algorithm": signed(#"{"alg":"ES256","kid":"test-1","typ":"at+jwt"}"#),
                "HS256": signed(#"{"alg":"HS256","kid":"test-1","typ":"at+jwt"}"#),
                "crit": signed(#"{"alg":"EdDSA","kid":"test-1","typ":"at+jwt","crit":["x"]}"#),
                "jku": signed(#"{"alg":"EdDSA","kid":"test-1","typ":"at+jwt","jku":"http://evil"}"#),
                "long kid": signed(#"{"alg":"EdDSA","kid":"\#(String(repeating: "k", count: 100))","typ":"at+jwt"}"#),
                "duplicate header": signed(#"{"alg":"EdDSA","alg":"EdDSA","kid":"test-1","typ":"at+jwt"}"#),
                "duplicate claim": key.sign(header: key.header, payload: payload.dropLast() + #","sub":"x"}"#),
                "audience": claim("aud", "other"), "audience list": claim("aud", ["martlet-api"]), "issuer": claim("iss", "evil"),
                "no expiry": claim("exp", nil), "text expiry": claim("exp", "9999999999"), "negative expiry": claim("exp", -1),
                "fraction": claim("exp", .number("1e300")), "huge": claim("exp", .number("9223372036854775808")),
                "float": claim("exp", .number("1999999999.5")), "future": claim("iat", .number(Timestamp.now.milliseconds / 1000 + 3600)),
                "not yet": claim("nbf", .number(Timestamp.now.milliseconds / 1000 + 3600)), "no subject": claim("sub", nil),
                "odd role": claim("role", "a,b;c"), "no epoch": claim("epoch", nil), "odd rate": claim("rate", ["user": [0, 1]]),
                "trailing": good + "x", "four parts": good + ".x", "two parts": parts[0] + "." + parts[1], "empty": "",
                "padding": good + "=", "large": key.token { $0["slug"] = .string(String(repeating: "a", count: 9000)) },
            ]
            // The last character of a 64-byte signature has four bits that mean nothing: another spelling of the same bytes.
            let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
            if let last = good.last, let index = alphabet.firstIndex(of: last) {
                tokens["non-canonical"] = String(good.dropLast()) + String(alphabet[index + 1])
            }
            for (flaw, token) in tokens {
                let answer = try await gateway.get("/v1/leads", token: token)
                // An empty value is trimmed to a scheme without token.
                #expect(answer.status == 401, "\(flaw)")
                #expect(answer.body.contains("The access token is not valid."), "\(flaw)")
            }
            let twice = try await gateway.get("/v1/leads", token: good, headers: "Authorization: Bearer \(good)\r\n")
            #expect(twice.status == 401)
            #expect(try await gateway.get("/v1/leads?access_token=\(good)").status == 401)
            #expect(try await gateway.get("/v1/leads", headers: "Authorization: Basic \(good)\r\n").status == 401)
            #expect(try await gateway.get("/v1/leads", headers: "Authorization: Bearer  \(good)\r\n").status == 401)
            #expect(gateway.upstream.requests.isEmpty)
            #expect(try await gateway.get("/v1/leads", headers: "authorization: bearer \(good)\r\n").status == 200)
        }
    }

    /// A token of a newer identity and tenant: one more resource in each set, more claims, a limit and an epoch that are not known here.
    @Test func aTokenOfANewerReleaseIsReadAsFarAsItIsKnown() async throws {
        try await TestGateway.with { gateway async throws in
            let member = TestMember()
            let token = gateway.key.token(for: member) { claims in
                claims["permissions"] = .string(member.role.permissions.encoded + "ff")
                claims["scopes"] = .string(member.role.scopes.encoded + "3")
                claims["role"] = "auditor"
                claims["limits"] = ["leads": 100, "storage": ["bytes": ["soft": 1, "hard": 2]], "odd,name": 1]
                claims["epoch"] = [1, 1, 7]
                claims["masks"] = ["deals": ["amount_minor": ["hidden": ["sales": true]]]]
                claims["cnf"] = "x"
            }
            #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            let request = try #require(gateway.upstream.requests.first)
            guard case .member(let context) = try request.caller() else {
                Issue.record("no member")
                return
            }
            #expect(context.tenant == member.tenant && context.role == "auditor")
            #expect(context.permissions == member.role.permissions && context.scopes == member.role.scopes)
            #expect(context.limits == ["leads": 100])
        }
    }

    @Test func anExpiredTokenSaysSoAlsoWhenItWasCached() async throws {
        try await TestGateway.with { gateway async throws in
            var member = TestMember()
            member.lifetime = -1
            let answer = try await gateway.get("/v1/leads", token: gateway.key.token(for: member))
            #expect(answer.status == 401)
            #expect(try code(answer) == "token_expired")

            member.lifetime = 3
            let token = gateway.key.token(for: member)
            #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            try await eventually("the token has expired") { try await gateway.get("/v1/leads", token: token).status == 401 }
        }
    }

    /// An office whose tokens expire at once is told to refresh, and not to wait: a genuine token counts for its user alone.
    @Test func aGenuineTokenThatExpiredIsNotChargedToItsAddress() async throws {
        try await TestGateway.with(configure: {
            $0.addressLimit = 3
            $0.trustedProxies = [AddressRange("127.0.0.0/8")].compactMap(\.self)
        }) { gateway async throws in
            var member = TestMember()
            member.lifetime = -1
            let token = gateway.key.token(for: member)
            let address = "X-Forwarded-For: 192.0.2.\(Int.random(in: 1...254)), 198.51.100.\(Int.random(in: 1...254))\r\n"
            try await TestClient.connect(port: gateway.port) { client async throws in
                for _ in 0..<12 { #expect(try code(try await client.get("/v1/leads", token: token, headers: address)) == "token_expired") }
                var statuses: [Int] = []
                for _ in 0..<5 { statuses.append(try await client.get("/v1/leads", token: token + "x", headers: address).status) }
                #expect(statuses == [401, 401, 401, 429, 429])
            }
        }
    }

    @Test func anEndedSessionARaisedEpochAndASuspendedTenantActAtOnceByMessage() async throws {
        try await TestGateway.with { gateway async throws in
            let redis = RedisClient(configuration: TestGateway.redis, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
            func publish(_ revocation: Revocation) async throws {
                _ = try await redis.command(["PUBLISH", Revocation.channel, revocation.json.description])
            }
            /// Asks until the code is there: the message is on its way to the gateway beside the request.
            func expect(_ wanted: String, _ token: String) async throws {
                var last: String?
                for _ in 0..<100 {
                    let answer = try await gateway.get("/v1/leads", token: token)
                    last = try code(answer)
                    if last == wanted { return }
                }
                Issue.record("\(wanted) expected, got \(last ?? "success")")
            }
            let session = TestMember()
            let sessionToken = gateway.key.token(for: session)
            let epoch = TestMember()
            let epochToken = gateway.key.token(for: epoch)
            let suspended = TestMember()
            let suspendedToken = gateway.key.token(for: suspended)
            for token in [sessionToken, epochToken, suspendedToken] {
                #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            }
            try await publish(.session(session.session))
            try await publish(.member(tenant: epoch.tenant, user: epoch.user, epoch: 2))
            try await publish(.tenant(suspended.tenant, epoch: 1, isActive: false, location: nil))
            try await expect("token_stale", sessionToken)
            try await expect("token_stale", epochToken)
            try await expect("tenant_suspended", suspendedToken)
            #expect(try await gateway.get("/v1/leads", token: gateway.key.token(for: suspended)).status == 403)
        }
    }

    /// What is read as the country's own, such as a telephone number, is so at once, and what is counted is in the currency of now: nobody has
    /// to refresh a token for it.
    @Test func servicesAreToldWhereTheTenantIsByNow() async throws {
        try await TestGateway.with { gateway async throws in
            let member = TestMember()
            let token = gateway.key.token(for: member) {
                ($0["country"], $0["currency"], $0["zoneinfo"], $0["fiscal"]) = ("AT", "EUR", "Europe/Vienna", 10)
            }
            func location(_ other: String? = nil) async throws -> [String?] {
                #expect(try await gateway.get("/v1/leads", token: other ?? token).status == 200)
                let request = try #require(gateway.upstream.state.withLock { $0.requests.last { $0.target == "/v1/leads" } })
                guard case .member(let context) = try request.caller() else { return [] }
                return [context.country, context.currency, context.timeZone, String(context.fiscalYearStarts)]
            }
            #expect(try await location() == ["AT", "EUR", "Europe/Vienna", "10"])
            for wrong in ["AT,", "A;", "\r\n", "at", "EUR;", "eur"] {
                let token = gateway.key.token(for: TestMember()) {
                    ($0["country"], $0["currency"], $0["zoneinfo"]) = (.string(wrong), .string(wrong), .string(wrong))
                    $0["fiscal"] = wrong.count == 2 ? .string(wrong) : 13
                }
                #expect(try await location(token) == [nil, "USD", "UTC", "1"])
            }
            let redis = RedisClient(configuration: TestGateway.redis, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
            for (version, country, currency, zone, month) in [(2, "JP", nil, nil, nil), (3, nil, "JPY", "Asia/Tokyo", 1)]
                as [(Int64, String?, String?, String?, Int?)]
            {
                let moved = Revocation.Location(
                    country: country, currency: currency, timeZone: zone, fiscalYearStarts: month, version: version)
                let state = Revocation.tenant(member.tenant, epoch: 1, isActive: true, location: moved)
                _ = try await redis.command(["PUBLISH", Revocation.channel, state.json.description])
                try await eventually("the tenant is elsewhere", within: .seconds(1)) {
                    try await location() == [country, currency ?? "EUR", zone ?? "Europe/Vienna", String(month ?? 10)]
                }
            }
        }
    }

    /// A role that the tenant has made was changed: all tokens that name it are stale, and no others.
    @Test func aRaisedEpochOfARoleActsForAllWhoHaveItAndForNobodyElse() async throws {
        try await TestGateway.with { gateway async throws in
            func token(_ member: TestMember, _ role: String, _ epoch: JSON) -> String {
                gateway.key.token(for: member) { claims in
                    claims["role"] = .string(role)
                    claims["epoch"] = epoch
                }
            }
            let first = TestMember()
            var second = TestMember()
            second.tenant = first.tenant
            let stale = [token(first, "scout", [1, 1, 1]), token(second, "scout", [1, 1, 2])]
            let others = [
                token(first, "scout", [1, 1, 3]), token(first, "other", [1, 1, 1]), token(TestMember(), "scout", [1, 1, 1]),
                gateway.key.token(for: second),
            ]
            for token in stale + others { #expect(try await gateway.get("/v1/leads", token: token).status == 200) }
            let role = Revocation.role(tenant: first.tenant, name: "scout", epoch: 3)
            let redis = RedisClient(configuration: TestGateway.redis, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
            _ = try await redis.command(["PUBLISH", Revocation.channel, role.json.description])
            for token in stale {
                try await eventually("the token is stale", within: .seconds(1)) {
                    try code(try await gateway.get("/v1/leads", token: token)) == "token_stale"
                }
            }
            // A poll that says less does not undo it while it is fresh; one that says more is heeded.
            let newer = TestMember()
            let newerToken = token(newer, "scout", [1, 1, 1])
            gateway.upstream.state.withLock {
                $0.revocations = [.role(tenant: newer.tenant, name: "scout", epoch: 2)]
            }
            try await eventually("the poll has found the role changed", within: .seconds(5)) {
                try await gateway.get("/v1/leads", token: newerToken).status == 401
            }
            for token in stale { #expect(try await gateway.get("/v1/leads", token: token).status == 401) }
            for token in others { #expect(try await gateway.get("/v1/leads", token: token).status == 200) }
        }
    }

    @Test func aLostMessageIsMadeUpForByPolling() async throws {
        try await TestGateway.with { gateway async throws in
            let member = TestMember()
            let token = gateway.key.token(for: member)
            #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            gateway.upstream.state.withLock { $0.revocations = [.session(member.session)] }
            try await eventually("the poll has found the session ended", within: .seconds(5)) {
                try await gateway.get("/v1/leads", token: token).status == 401
            }
        }
    }

    @Test func aNewKeyIsFetchedOnceAndMadeUpKeysDoNotFloodIdentity() async throws {
        try await TestGateway.with { gateway async throws in
            let before = gateway.upstream.state.withLock { $0.keyFetches }
            // The first fetch may have been less than five seconds ago; then the unknown key is refused without asking again.
            for index in 0..<50 { _ = try await gateway.get("/v1/leads", token: TestKey(id: "made-up-\(index)").token()) }
            #expect(gateway.upstream.state.withLock { $0.keyFetches } - before <= 1)

            let next = TestKey(id: "test-2")
            gateway.upstream.state.withLock { $0.keys.append(next.jwk) }
            try await eventually("the new key is known", within: .seconds(7)) {
                try await gateway.get("/v1/leads", token: next.token()).status == 200
            }
        }
    }

    @Test func beforeRevocationsAreKnownNoTokenIsTrusted() async throws {
        let key = TestKey()
        // Nobody listens there.
        try await TestGateway.with(
            key: key, upstream: TestUpstream(keys: [key]) { _ in .ok() }, upstreamPort: 1, waitsForReady: false
        ) { gateway async throws in
            let answer = try await gateway.get("/v1/leads", token: key.token())
            #expect(answer.status == 503 && answer.header("retry-after") != nil)
            let ready = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/readyz") }
            #expect(ready.status == 503)
            let live = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/livez") }
            #expect(live.status == 200)
        }
    }

    @Test func anotherTenantsNameIsRefusedAndTold() async throws {
        try await TestGateway.with(configure: { $0.baseDomain = "example.com" }) { gateway async throws in
            let member = TestMember()
            let token = gateway.key.token(for: member)
            #expect(try await gateway.get("/v1/leads", token: token, headers: "X-Tenant: acme\r\n").status == 200)
            let answer = try await gateway.get("/v1/leads", token: token, headers: "X-Tenant: globex\r\n")
            #expect(answer.status == 403)
            #expect(try code(answer) == "tenant_mismatch")
            for (host, status) in [
                ("acme.example.com", 200), ("ACME.Example.COM:8080", 200), ("globex.example.com", 403), ("other.org", 200),
            ] {
                let answer = try await gateway.send("GET /v1/leads HTTP/1.1\r\nHost: \(host)\r\nAuthorization: Bearer \(token)\r\n\r\n")
                #expect(answer.status == status, "\(host)")
            }
            var events: [TestUpstream.Request] = []
            try await eventually("both events are told") {
                events = gateway.upstream.requests.filter { $0.target == "/internal/events" }
                return events.count >= 2
            }
            let event = try JSONParser.parse(try #require(events.first).body)[0]
            #expect(event?["kind"]?.string == "security.tenant_mismatch")
            #expect(event?["tenant"]?.string == member.tenant.description)
            #expect(event?["actor"]?.string == member.user.description)
            #expect(gateway.upstream.requests.filter { $0.target == "/v1/leads" }.count == 4)
        }
    }
}
