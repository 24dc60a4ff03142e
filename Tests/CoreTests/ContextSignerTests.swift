import Core
import Crypto
import Testing

@Suite struct ContextSignerTests {
    private static let pairs = [
        ContextPair(caller: "gateway", callee: "crm", speaksForClients: true),
        ContextPair(caller: "gateway", callee: "activity", speaksForClients: true),
        ContextPair(caller: "tenant", callee: "crm", speaksForClients: true),
        ContextPair(caller: "support", callee: "crm", speaksForClients: false),
        ContextPair(caller: "crm", callee: "activity", speaksForClients: false),
        ContextPair(caller: "support", callee: "activity", speaksForClients: false),
    ]

    /// The keys of a process: of each of its pairs and each id another one.
    private static func text(of process: String, ids: [String] = ["k1"]) -> String {
        ids.flatMap { id in
            pairs.filter { $0.caller == process || $0.callee == process }.map { pair in
                "\(id):\(pair.name):\(Hex.encode(SHA256.hash(data: Array("\(id) \(pair.name)".utf8))))"
            }
        }.joined(separator: ",")
    }

    static func keys(of process: String, ids: [String] = ["k1"]) throws -> ContextKeys {
        try ContextKeys(text(of: process, ids: ids), of: process, pairs: pairs)
    }

    /// As the gateway signs for crm.
    let signer: ContextSigner
    /// As crm verifies.
    let verifier: ContextVerifier
    let member: RequestContext

    init() throws {
        signer = try #require(try Self.keys(of: "gateway").signer(for: "crm"))
        verifier = try Self.keys(of: "crm").verifier
        member = RequestContext(
            tenant: TenantID(), user: UserID(), session: SessionID(), role: "sales", permissions: BuiltInRole.sales.permissions,
            scopes: BuiltInRole.sales.scopes, plan: "pro", limits: ["leads": 100, "users": 1], country: "AT", currency: "EUR",
            timeZone: "Europe/Vienna", fiscalYearStarts: 4,
            edge: EdgeContext(requestID: "r-1", deadline: Timestamp.now.advanced(by: .seconds(30)), address: "2001:db8::1"))
    }

    private func sign(_ caller: Caller, from process: String, to callee: String, ids: [String] = ["k1"]) throws -> String {
        try #require(try Self.keys(of: process, ids: ids).signer(for: callee)).sign(caller, method: "GET", target: "/v1/leads")
    }

    private func code(_ value: String?, by verifier: ContextVerifier, method: String = "GET", target: String = "/v1/leads") -> ErrorCode? {
        do {
            _ = try verifier.verify(value, method: method, target: target)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func whatWasSignedIsReadBack() throws {
        let gateway = SystemContext(service: "gateway", edge: member.edge)
        for caller in [Caller.member(member), .anonymous(member.edge), .service(gateway)] {
            // The second time the claims are known.
            for _ in 1...2 {
                let value = signer.sign(caller, method: "GET", target: "/v1/leads?limit=1")
                let read = try verifier.verify(value, method: "GET", target: "/v1/leads?limit=1")
                #expect(read.caller == caller && read.body == .none)
            }
        }
    }

    /// The signer has an HMAC of its own, so it is held against the library's.
    @Test(arguments: [32, 64, 65, 200]) func aKeyOfAnyLengthSignsAsHMACDoes(length: Int) throws {
        let key = (0..<length).map { UInt8($0 & 255) }
        let pair = ContextPair(caller: "gateway", callee: "crm", speaksForClients: true)
        func keys(_ process: String) throws -> ContextKeys {
            try ContextKeys("k:gateway-crm:" + Hex.encode(key), of: process, pairs: [pair])
        }
        let signer = try #require(try keys("gateway").signer(for: "crm"))
        #expect(String(decoding: signer.prefix, as: UTF8.self) == "v2;k;gateway;")
        let value = "v2;k;gateway;-;id;\(Timestamp.now.milliseconds + 10_000);1.2.3.4;;"
        let line = "GET /v1/leads"
        let mac = Array(value.utf8).withUnsafeBytes { value in
            Array(line.utf8).withUnsafeBytes { signer.authenticationCode(of: value, requestLine: $0) }
        }
        #expect(
            Array(mac) == Array(HMAC<SHA256>.authenticationCode(for: Array((value + line).utf8), using: SymmetricKey(data: key))))
        #expect(throws: Never.self) {
            try keys("crm").verifier.verify(value + Base64URL.encode(mac), method: "GET", target: "/v1/leads")
        }
    }

    /// Class A6: forged, altered and replayed contexts. Changes every byte of the value in turn.
    @Test func aContextThatWasChangedAnywhereIsRefused() throws {
        let value = Array(signer.sign(.member(member), method: "GET", target: "/v1/leads", body: .whole([1])).utf8)
        for index in value.indices {
            for change in [1, 0x80] as [UInt8] {
                var changed = value
                changed[index] ^= change
                #expect(code(String(decoding: changed, as: UTF8.self), by: verifier) == .unauthenticated)
            }
        }
        for count in value.indices { #expect(code(String(decoding: value.prefix(count), as: UTF8.self), by: verifier) == .unauthenticated) }
        for more in ["A", ";", ";A", "="] {
            #expect(code(String(decoding: value, as: UTF8.self) + more, by: verifier) == .unauthenticated)
        }
    }

    // MARK: Pairs

    /// Class A6: what one service holds is of no use against another: not what was signed for it, and not the keys with which it verifies that.
    @Test func whatIsSignedForOnePairIsRefusedByEveryOther() throws {
        let callees = ["crm", "activity"]
        for signed in Self.pairs {
            let value = try sign(.service(SystemContext(service: "any", edge: member.edge)), from: signed.caller, to: signed.callee)
            for callee in callees {
                let expected: ErrorCode? = callee == signed.callee ? nil : .unauthenticated
                #expect(code(value, by: try Self.keys(of: callee).verifier) == expected, "\(signed.name) by \(callee)")
            }
            // With the name of another caller in it, it is not even of the key that is then asked for.
            for caller in ["gateway", "tenant", "support", "crm"] where caller != signed.caller {
                let renamed = value.replacing(";\(signed.caller);", with: ";\(caller);", maxReplacements: 1)
                for callee in callees { #expect(code(renamed, by: try Self.keys(of: callee).verifier) == .unauthenticated) }
            }
        }
        // No process has what it takes to sign for another that it does not call, or as another.
        #expect(try Self.keys(of: "crm").signer(for: "crm") == nil && Self.keys(of: "support").signer(for: "gateway") == nil)
    }

    @Test func onlyWhoMaySpeakForClientsDoes() throws {
        for caller in [Caller.member(member), .anonymous(member.edge)] {
            #expect(code(try sign(caller, from: "gateway", to: "crm"), by: verifier) == nil)
            #expect(code(try sign(caller, from: "tenant", to: "crm"), by: verifier) == nil)
            // Known claims are no way around that.
            #expect(code(try sign(caller, from: "support", to: "crm"), by: verifier) == .unauthenticated)
        }
    }

    @Test func aServiceIsTheOneWhoseKeyItHas() throws {
        let value = try sign(.service(SystemContext(service: "tenant", edge: member.edge)), from: "support", to: "crm")
        #expect(
            try verifier.verify(value, method: "GET", target: "/v1/leads").caller
                == .service(SystemContext(service: "support", edge: member.edge)))
    }

    /// A new key comes behind the old everywhere, then before it, and then the old one goes: each process is at any of two steps meanwhile.
    @Test func keysAreReplacedWithoutAGap() throws {
        let steps = [["k1"], ["k1", "k2"], ["k2", "k1"], ["k2"]]
        for (step, next) in zip(steps, steps.dropFirst()) {
            for (signing, verifying) in [(step, next), (next, step), (next, next)] {
                let value = try sign(.member(member), from: "gateway", to: "crm", ids: signing)
                #expect(code(value, by: try Self.keys(of: "crm", ids: verifying).verifier) == nil, "\(signing) by \(verifying)")
            }
        }
        #expect(code(try sign(.member(member), from: "gateway", to: "crm", ids: ["k2"]), by: verifier) == .unauthenticated)
    }

    @Test func keysThatAreNoneOrNotAllAreRefused() throws {
        let whole = Self.text(of: "crm")
        for text in [
            "", "k1", "k1:ab", "k1:gateway-crm:ab", "k1:gateway-crm:" + String(repeating: "zz", count: 32), ":",
            whole.replacing("k1:", with: "k;1:"), whole.replacing("k1:", with: ":"), whole.replacing("gateway-crm", with: "gateway"),
            // Of others.
            whole + "," + Self.text(of: "support"),
            // Without one.
            whole.split(separator: ",").dropLast().joined(separator: ","), whole.replacing("gateway-crm", with: "gateway-crm-x"),
        ] {
            let error = #expect(throws: ContextKeyError.self, "\(text)") { try ContextKeys(text, of: "crm", pairs: Self.pairs) }
            for part in text.split(whereSeparator: { ":,".contains($0) }) where part.count >= 32 {
                #expect(error?.description.contains(part) == false, "a key could be shown")
            }
        }
        // A release that is older, or newer, has other pairs.
        let further = whole + ",k1:crm-mail:\(String(repeating: "ab", count: 32))"
        #expect(throws: Never.self) { try ContextKeys(further, of: "crm", pairs: Self.pairs) }
    }

    // MARK: The request

    @Test func aContextServesOneMethodTargetAndBody() throws {
        let value = signer.sign(.member(member), method: "POST", target: "/v1/leads", body: .whole([1, 2, 3]))
        #expect(code(value, by: verifier, method: "DELETE") == .unauthenticated)
        #expect(code(value, by: verifier, method: "POST", target: "/v1/leads/1") == .unauthenticated)
        #expect(code(value, by: verifier, method: "POS", target: "T /v1/leads") == .unauthenticated)
        #expect(code(nil, by: verifier) == .unauthenticated && code("", by: verifier) == .unauthenticated)
        let verified = try verifier.verify(value, method: "POST", target: "/v1/leads")
        #expect(throws: Never.self) { try verified.check([1, 2, 3]) }
        for other in [[], [1, 2], [1, 2, 4], [1, 2, 3, 0]] as [[UInt8]] {
            let refusal = #expect(throws: Problem.self) { try verified.check(other) }
            #expect(refusal?.code == .unauthenticated)
        }
    }

    @Test func whatWasSignedWithoutABodyIsTakenWithoutOneOnly() throws {
        let verified = try verifier.verify(signer.sign(.member(member), method: "GET", target: "/"), method: "GET", target: "/")
        #expect(throws: Never.self) { try verified.check([]) }
        #expect(throws: Problem.self) { try verified.check([0]) }
    }

    /// Only a route that takes its body as a stream looks at that itself.
    @Test func aStreamedBodyIsNoneThatWasSigned() throws {
        let value = signer.sign(.member(member), method: "POST", target: "/", body: .streamed)
        let verified = try verifier.verify(value, method: "POST", target: "/")
        #expect(verified.body == .streamed)
        for body in [[], [1]] as [[UInt8]] { #expect(throws: Problem.self) { try verified.check(body) } }
    }

    // MARK: Time

    @Test(
        arguments: [
            (-1_000_000, .clockSkew), (-5001, .clockSkew), (-4000, .deadlineExceeded), (0, .deadlineExceeded), (1, nil), (600_000, nil),
            (605_000, nil), (605_001, .clockSkew), (3_600_000, .clockSkew),
        ] as [(Int64, ErrorCode?)])
    func aDeadlineIsOfTheNextMinutesOrClocksDiffer(milliseconds: Int64, expected: ErrorCode?) throws {
        let now = Timestamp.now
        var edge = member.edge
        edge.deadline = Timestamp(milliseconds: now.milliseconds + milliseconds)
        let value = signer.sign(Caller.member(member).with(edge), method: "GET", target: "/")
        func code() -> ErrorCode? {
            do {
                _ = try verifier.verify(value, method: "GET", target: "/", now: now)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code() == expected)
    }

    /// Nobody learns of the clocks who has no key.
    @Test func clocksAreSpokenOfOnlyToWhoSignsRightly() throws {
        var edge = member.edge
        edge.deadline = Timestamp(milliseconds: .max)
        let value = signer.sign(.anonymous(edge), method: "GET", target: "/v1/leads")
        #expect(code(value, by: verifier) == .clockSkew)
        #expect(code(value.dropLast() + "A", by: verifier) == .unauthenticated || value.last == "A")
        edge.deadline = Timestamp(milliseconds: .min)
        #expect(code(signer.sign(.anonymous(edge), method: "GET", target: "/v1/leads"), by: verifier) == .clockSkew)
    }

    // MARK: Claims

    /// Of what a newer release signs, what is known here is read; all of it is under the MAC.
    @Test func aContextOfANewerReleaseIsReadAsFarAsItIsKnown() throws {
        var fields = ContextSigner.claims(of: member).split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        fields[5] += "ff"
        fields[6] += "3"
        fields[8] += "&storage=5GB"
        func signed(_ claims: String, more: String = "") -> String {
            let value = "v2;k1;gateway;\(claims);r-1;\(member.deadline.milliseconds);2001:db8::1;;\(more)"
            let mac = Array(value.utf8).withUnsafeBytes { value in
                Array("GET /v1/leads".utf8).withUnsafeBytes { signer.authenticationCode(of: value, requestLine: $0) }
            }
            return value + Base64URL.encode(mac)
        }
        let claims = (fields + ["newer", ""]).joined(separator: ",")
        for value in [signed(claims), signed(claims, more: "cell-7;;")] {
            let caller = try verifier.verify(value, method: "GET", target: "/v1/leads").caller
            #expect(caller.tenant == member.tenant)
            guard case .member(let read) = caller else { continue }
            #expect(read.permissions == member.permissions && read.scopes == member.scopes && read.limits == member.limits)
            #expect(read.country == member.country && read.currency == member.currency && read.timeZone == member.timeZone)
            #expect(read.fiscalYearStarts == 4)
            #expect(read.role == member.role && read.plan == member.plan && read.session == member.session)
            for index in value.indices where value[index] != ";" {
                let changed = value.replacingCharacter(at: index, with: value[index] == "A" ? "B" : "A")
                #expect(throws: Problem.self) { try verifier.verify(changed, method: "GET", target: "/v1/leads") }
            }
        }
        // Nobody knows what such a caller may do.
        for claims in ["k,\(claims.dropFirst(2))", "s,newer", ""] {
            #expect(throws: Problem.self) { try verifier.verify(signed(claims), method: "GET", target: "/v1/leads") }
        }
    }

    @Test func aContextOfAReleaseThatKnewOfNoCountriesIsRead() throws {
        let claims = ContextSigner.claims(of: member).split(separator: ",").prefix(9).joined(separator: ",")
        var older = member
        older.country = nil
        older.currency = Currency.initial
        older.timeZone = TimeZoneName.initial
        older.fiscalYearStarts = FiscalYear.initial
        let value = signer.sign(claims: claims, edge: member.edge, method: "GET", target: "/v1/leads")
        #expect(try verifier.verify(value, method: "GET", target: "/v1/leads").caller == .member(older))
        // Without its rules there is no caller of whom fields are hidden.
        for count in [9, 10] {
            let cut = ContextSigner.claims(of: member).split(separator: ",").prefix(count).joined(separator: ",")
            let value = signer.sign(claims: "r\(cut.dropFirst())", edge: member.edge, method: "GET", target: "/v1/leads")
            #expect(throws: Problem.self) { try verifier.verify(value, method: "GET", target: "/v1/leads") }
        }
    }

    @Test func aFiscalYearThatBeginsInJanuaryIsNotSaid() throws {
        var january = member
        january.fiscalYearStarts = 1
        let claims = ContextSigner.claims(of: january)
        #expect(ContextSigner.claims(of: member) == "\(claims),4")
        for (month, read) in [("", january), (",4", member), (",0", january), (",13", january), (",x", january), (",", january)] {
            let value = signer.sign(claims: claims + month, edge: member.edge, method: "GET", target: "/v1/leads")
            #expect(try verifier.verify(value, method: "GET", target: "/v1/leads").caller == .member(read))
        }
    }

    /// Class A6: what came from elsewhere must not move or end a claim.
    @Test(arguments: ["AT,", "A,", "A;", ";;", "AT\r\n", "\r\n", "at", "ＡＴ", "A", "", "AUT"])
    func whatIsNoCountryIsNotSigned(_ text: String) throws {
        #expect(Country.code(text) == nil)
        var none = member
        none.country = nil
        var wrong = member
        wrong.country = text
        #expect(ContextSigner.claims(of: wrong) == ContextSigner.claims(of: none))
    }

    @Test(arguments: ["EUR,", "EU,", "EU;", ";;;", "EU\r\n", "eur", "ＥＵＲ", "EU", "", "EURO"])
    func whatIsNoCurrencyIsNotSigned(_ text: String) throws {
        #expect(Currency.code(text) == nil)
        var wrong = member
        wrong.currency = text
        wrong.timeZone = text
        guard
            case .member(let read) = try verifier.verify(
                signer.sign(.member(wrong), method: "GET", target: "/"), method: "GET", target: "/"
            ).caller
        else { return }
        #expect(read.currency == Currency.initial && read.timeZone == TimeZoneName.initial)
    }

    // MARK: Cursors

    @Test func aCursorOpensForItsListOnly() throws {
        let cursors = CursorSigner(keys: try Self.keys(of: "crm"))
        let cursor = cursors.seal(["2026-01-01", "id"], list: Array("leads of a".utf8))
        #expect(try cursors.open(cursor, list: Array("leads of a".utf8)) == ["2026-01-01", "id"])
        #expect(throws: Problem.self) { try cursors.open(cursor, list: Array("leads of b".utf8)) }
        #expect(throws: Problem.self) { try cursors.open(cursor + "A", list: Array("leads of a".utf8)) }
        // Another service's are others; what a key was replaced by opens what the old one sealed.
        #expect(throws: Problem.self) { try CursorSigner(keys: try Self.keys(of: "activity")).open(cursor, list: Array("leads of a".utf8)) }
        let newer = CursorSigner(keys: try Self.keys(of: "crm", ids: ["k2", "k1"]))
        #expect(try newer.open(cursor, list: Array("leads of a".utf8)) == ["2026-01-01", "id"])
        #expect(throws: Problem.self) { try cursors.open("", list: Array("leads of a".utf8)) }
        for index in cursor.indices {
            let changed = cursor.replacingCharacter(at: index, with: cursor[index] == "A" ? "B" : "A")
            #expect(throws: Problem.self) { try cursors.open(changed, list: Array("leads of a".utf8)) }
        }
    }
}

extension String {
    fileprivate func replacingCharacter(at index: Index, with character: Character) -> String {
        var copy = self
        copy.replaceSubrange(index...index, with: [character])
        return copy
    }
}
