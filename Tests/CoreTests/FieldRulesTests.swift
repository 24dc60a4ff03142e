import Core
import Testing

@Suite struct FieldRulesTests {
    static let rules = FieldRules(["leads": ["score": .hidden, "email": .hidden, "phone": .readOnly], "tickets": ["tags": .readOnly]])

    @Test func whatIsWrittenIsReadBack() throws {
        #expect(Self.rules.encoded == "leads=-email~phone-score&tickets=~tags")
        #expect(FieldRules(encoded: Self.rules.encoded) == Self.rules)
        #expect(FieldRules(json: Self.rules.json) == Self.rules)
        #expect(
            Self.rules.json == ["leads": ["email": "hidden", "phone": "read_only", "score": "hidden"], "tickets": ["tags": "read_only"]])
        #expect(Self.rules.count == 4 && Self.rules.hidden(in: "leads") == ["score", "email"])
        #expect(FieldRules.none.encoded == "" && FieldRules(encoded: "")?.isEmpty == true && !FieldRules.none.hideAny)
        #expect(FieldRules(["leads": [:]]) == .none)
    }

    /// What cannot be read must not pass for no rules.
    @Test(arguments: ["leads", "leads=", "=-email", "leads=email", "leads=-", "leads=-email&", "&", "leads=--email", "Leads=-email"])
    func anotherFormIsNone(_ text: String) {
        #expect(FieldRules(encoded: text) == nil)
    }

    @Test func aRuleThatOnlyANewerReleaseKnowsHides() {
        #expect(FieldRules(encoded: "leads=+email")?["leads"] == ["email": .hidden])
        #expect(FieldRules(json: ["leads": ["email": "masked"]])["leads"] == ["email": .hidden])
    }

    @Test func theyTravelInTheSignedContextOfThoseWhoHaveThem() throws {
        let (signer, verifier) = (try ContextSignerTests().signer, try ContextSignerTests().verifier)
        var member = try ContextSignerTests().member
        let plain = ContextSigner.claims(of: member)
        member.fields = Self.rules
        var parts = plain.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        (parts[0], parts[10]) = ("r", Self.rules.encoded)
        #expect(ContextSigner.claims(of: member) == parts.joined(separator: ","), "who knows of no rules refuses it")
        for country in ["AT", nil] {
            member.country = country
            let value = signer.sign(.member(member), method: "GET", target: "/")
            #expect(try verifier.verify(value, method: "GET", target: "/").caller == .member(member))
        }
    }

    /// The largest set there can be leaves room in the header for all else.
    @Test func theMostThatARoleCanHaveFitIntoAContext() throws {
        let names = (0..<FieldRules.maximumCount).map { "first_response_due_at_\($0)" }
        var member = try ContextSignerTests().member
        member.fields = FieldRules(["sla_policies": Dictionary(uniqueKeysWithValues: names.map { ($0, .hidden) })])
        let (signer, verifier) = (try ContextSignerTests().signer, try ContextSignerTests().verifier)
        let value = signer.sign(.member(member), method: "GET", target: "/")
        #expect(value.utf8.count < 4096)
        #expect(try verifier.verify(value, method: "GET", target: "/").caller == .member(member))
    }

    @Test func nobodyReachesMoreFieldsThanHisRightsDo() {
        let read = Permission(.leads, .read)
        func rights(_ rules: [String: FieldRule], _ permissions: [Permission] = [read]) -> Rights {
            var scopes = RowScopes()
            scopes[.leads] = .all
            scopes[.tickets] = .all
            return Rights(permissions: PermissionSet(permissions), scopes: scopes, fields: FieldRules(["leads": rules]))
        }
        let own = rights(["score": .hidden, "phone": .readOnly])
        #expect(own.include(own))
        #expect(own.include(rights(["score": .hidden, "phone": .hidden, "email": .hidden])))
        #expect(!own.include(rights([:])))
        #expect(!own.include(rights(["score": .hidden])))
        #expect(!own.include(rights(["score": .readOnly, "phone": .readOnly])))
        #expect(own.firstField(beyond: rights(["score": .hidden])) == "leads.phone")
        #expect(own.include(rights([:], [])), "without a permission nothing of it is reached")
        #expect(rights([:]).include(own))
    }
}
