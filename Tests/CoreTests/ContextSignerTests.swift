import Core
import Testing

@Suite struct ContextSignerTests {
    static let key = "k1:" + String(repeating: "ab", count: 32)
    let signer: ContextSigner
    let member: RequestContext

    init() throws {
        signer = try ContextSigner(keys: Self.key)
        member = RequestContext(
            tenant: TenantID(), user: UserID(), session: SessionID(), role: "sales", permissions: BuiltInRole.sales.permissions,
            scopes: BuiltInRole.sales.scopes, plan: "pro", limits: ["leads": 100, "users": 1], country: "AT", currency: "EUR",
            timeZone: "Europe/Vienna", fiscalYearStarts: 4,
            edge: EdgeContext(requestID: "r-1", deadline: Timestamp.now.advanced(by: .seconds(30)), address: "2001:db8::1"))
    }

    @Test func whatWasSignedIsReadBack() throws {
        for caller in [Caller.member(member), .anonymous(member.edge), .service(SystemContext(service: "crm", edge: member.edge))] {
            let value = signer.sign(caller, method: "GET", target: "/v1/leads?limit=1")
            #expect(try signer.verify(value, method: "GET", target: "/v1/leads?limit=1") == caller)
        }
    }

    /// Class A6: forged, altered and replayed contexts. Changes every byte of the value in turn.
    @Test func aContextThatWasChangedAnywhereIsRefused() throws {
        let value = Array(signer.sign(.member(member), method: "GET", target: "/v1/leads").utf8)
        for index in value.indices {
            var changed = value
            changed[index] ^= 1
            let text = String(decoding: changed, as: UTF8.self)
            #expect(throws: Problem.self) { try signer.verify(text, method: "GET", target: "/v1/leads") }
        }
    }

    /// Of what a newer release signs, what is known here is read; all of it is under the MAC.
    @Test func aContextOfANewerReleaseIsReadAsFarAsItIsKnown() throws {
        var fields = ContextSigner.claims(of: member).split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        fields[5] += "ff"
        fields[6] += "3"
        fields[8] += "&storage=5GB"
        func signed(_ claims: String, more: String = "") -> String {
            let value = "v1;\(signer.keyID);\(claims);r-1;\(member.deadline.milliseconds);2001:db8::1;\(more)"
            let mac = Array("\(value)GET /v1/leads".utf8).withUnsafeBytes { signer.authenticationCode(of: $0) }
            return value + Base64URL.encode(mac)
        }
        let claims = (fields + ["newer", ""]).joined(separator: ",")
        for value in [signed(claims), signed(claims, more: "cell-7;;")] {
            let caller = try signer.verify(value, method: "GET", target: "/v1/leads")
            #expect(caller.tenant == member.tenant)
            guard case .member(let read) = caller else { continue }
            #expect(read.permissions == member.permissions && read.scopes == member.scopes && read.limits == member.limits)
            #expect(read.country == member.country && read.currency == member.currency && read.timeZone == member.timeZone)
            #expect(read.fiscalYearStarts == 4)
            #expect(read.role == member.role && read.plan == member.plan && read.session == member.session)
            for index in value.indices where value[index] != ";" {
                let changed = value.replacingCharacter(at: index, with: value[index] == "A" ? "B" : "A")
                #expect(throws: Problem.self) { try signer.verify(changed, method: "GET", target: "/v1/leads") }
            }
        }
        let service = SystemContext(service: "crm", edge: EdgeContext(requestID: "r-1", deadline: member.deadline, address: "2001:db8::1"))
        #expect(try signer.verify(signed("s,crm,newer"), method: "GET", target: "/v1/leads") == .service(service))
        // Nobody knows what such a caller may do.
        #expect(throws: Problem.self) { try signer.verify(signed("k,\(claims.dropFirst(2))"), method: "GET", target: "/v1/leads") }
    }

    @Test func aContextOfAReleaseThatKnewOfNoCountriesIsRead() throws {
        let claims = ContextSigner.claims(of: member).split(separator: ",").prefix(9).joined(separator: ",")
        var older = member
        older.country = nil
        older.currency = Currency.initial
        older.timeZone = TimeZoneName.initial
        older.fiscalYearStarts = FiscalYear.initial
        let value = signer.sign(claims: claims, edge: member.edge, method: "GET", target: "/v1/leads")
        #expect(try signer.verify(value, method: "GET", target: "/v1/leads") == .member(older))
        // Without its rules there is no caller of whom fields are hidden.
        for count in [9, 10] {
            let cut = ContextSigner.claims(of: member).split(separator: ",").prefix(count).joined(separator: ",")
            let value = signer.sign(claims: "r\(cut.dropFirst())", edge: member.edge, method: "GET", target: "/v1/leads")
            #expect(throws: Problem.self) { try signer.verify(value, method: "GET", target: "/v1/leads") }
        }
    }

    @Test func aFiscalYearThatBeginsInJanuaryIsNotSaid() throws {
        var january = member
        january.fiscalYearStarts = 1
        let claims = ContextSigner.claims(of: january)
        #expect(ContextSigner.claims(of: member) == "\(claims),4")
        for (month, read) in [("", january), (",4", member), (",0", january), (",13", january), (",x", january), (",", january)] {
            let value = signer.sign(claims: claims + month, edge: member.edge, method: "GET", target: "/v1/leads")
            #expect(try signer.verify(value, method: "GET", target: "/v1/leads") == .member(read))
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
            case .member(let read) = try signer.verify(signer.sign(.member(wrong), method: "GET", target: "/"), method: "GET", target: "/")
        else { return }
        #expect(read.currency == Currency.initial && read.timeZone == TimeZoneName.initial)
    }

    @Test func aContextServesOneRequestUntilItsDeadline() throws {
        let value = signer.sign(.member(member), method: "GET", target: "/v1/leads")
        #expect(throws: Problem.self) { try signer.verify(value, method: "DELETE", target: "/v1/leads") }
        #expect(throws: Problem.self) { try signer.verify(value, method: "GET", target: "/v1/leads/1") }
        #expect(throws: Problem.self) {
            try signer.verify(value, method: "GET", target: "/v1/leads", now: Timestamp.now.advanced(by: .seconds(31)))
        }
        #expect(throws: Problem.self) { try signer.verify(nil, method: "GET", target: "/v1/leads") }
        #expect(throws: Problem.self) { try signer.verify("", method: "GET", target: "/v1/leads") }
    }

    @Test func keysAreReplacedWithoutAGap() throws {
        let newer = try ContextSigner(keys: "k2:" + String(repeating: "cd", count: 32) + "," + Self.key)
        let old = signer.sign(.member(member), method: "GET", target: "/")
        #expect(try newer.verify(old, method: "GET", target: "/") == .member(member))
        let new = newer.sign(.member(member), method: "GET", target: "/")
        #expect(throws: Problem.self) { try signer.verify(new, method: "GET", target: "/") }
    }

    @Test(arguments: ["", "k1", "k1:ab", "k1:" + String(repeating: "zz", count: 32), ":"])
    func keysThatAreNoneAreRefused(_ text: String) {
        #expect(throws: ContextKeyError.self) { try ContextSigner(keys: text) }
    }

    @Test func aCursorOpensForItsListOnly() throws {
        let cursors = CursorSigner(signer: signer)
        let cursor = cursors.seal(["2026-01-01", "id"], list: Array("leads of a".utf8))
        #expect(try cursors.open(cursor, list: Array("leads of a".utf8)) == ["2026-01-01", "id"])
        #expect(throws: Problem.self) { try cursors.open(cursor, list: Array("leads of b".utf8)) }
        #expect(throws: Problem.self) { try cursors.open(cursor + "A", list: Array("leads of a".utf8)) }
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
