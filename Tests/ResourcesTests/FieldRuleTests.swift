import CRM
import Contracts
import Core
import Support
import Testing

@testable import Resources

/// What a role hides, or lets only be read: on every way in and out of a resource.
@Suite struct FieldRuleTests {
    private static let hidden: [String: [String: FieldRule]] = [
        "leads": ["score": .hidden, "email": .hidden, "phone": .readOnly]
    ]
    private static let lead =
        #"{"last_name":"Okafor","email":"secret@kestrel.example","score":77,"phone":"+49 40 5550101","company":"Harbour"}"#

    /// No word of what is hidden.
    private static func check(_ reply: Reply, _ comment: Comment? = nil) {
        for word in ["score", "email", "secret", "kestrel"] {
            #expect(!reply.text.contains(word), "\(word) in \(reply.text) \(comment.map { "\($0)" } ?? "")")
        }
    }

    @Test func aHiddenFieldIsInNoAnswer() async throws {
        try await ResourceAPI.leads { api in
            let (admin, caller) = (api.member(), api.member(fields: Self.hidden))
            let lead = try await api.create(Self.lead, as: admin)
            let path = "/v1/leads/\(lead.id)"
            let shown = try await api.send(.get, path, as: caller)
            Self.check(shown)
            var expected = lead.object ?? JSONObject()
            for name in ["score", "email"] { expected[name] = nil }
            #expect(try shown.json == .object(expected))
            for target in [
                "/v1/leads", "/v1/leads?fields=id,phone", "/v1/leads?deleted=include", "/v1/leads?company=Harbour",
                "/v1/leads?count=exact&sort=last_name", "/v1/leads?id=\(lead.id)", "\(path)?fields=last_name",
            ] {
                let reply = try await api.send(.get, target, as: caller)
                #expect(
                    reply.status == 200 && reply.text.contains(lead.id) || reply.text == #"{"last_name":"Okafor"}"#,
                    "\(target) \(reply.text)")
                Self.check(reply, "\(target)")
            }
            for (method, target, body) in [
                (.patch, path, #"{"company":"Quay"}"#), (.post, "/v1/leads", #"{"last_name":"B"}"#),
                (.put, "/v1/leads/by-external-id/x-1", #"{"last_name":"C"}"#),
                (.put, "/v1/leads/by-external-id/x-1", #"{"last_name":"D"}"#),
                (
                    .post, "/v1/leads/batch",
                    #"{"operations":[{"op":"update","id":"\#(lead.id)","body":{"company":"Pier"}},{"op":"create","body":{"last_name":"E"}}]}"#
                ),
                (
                    .post, "/v1/leads/batch",
                    #"{"atomic":true,"operations":[{"op":"update","id":"\#(lead.id)","body":{"company":"Dock"}},{"op":"upsert","external_id":"x-1","body":{"last_name":"F"}}]}"#
                ),
            ] as [(Core.Method, String, String)] {
                let reply = try await api.send(method, target, body, as: caller)
                #expect([200, 201].contains(reply.status), "\(target) \(reply.text)")
                Self.check(reply, "\(target)")
            }
            // It is there all the same, and what the caller made has the defaults.
            let kept = try await api.send(.get, path, as: admin).json
            #expect(kept["score"] == 77 && kept["email"]?.string == "secret@kestrel.example" && kept["company"] == "Dock")
            _ = try await api.send(.delete, path, as: caller)
            Self.check(try await api.send(.post, "\(path)/restore", as: caller))
        }
    }

    /// By a name that never was: the same answer but for the name.
    @Test func askingForAHiddenFieldIsAskingForNone() async throws {
        try await ResourceAPI.leads { api in
            let caller = api.member(fields: Self.hidden)
            _ = try await api.create(Self.lead, as: api.member())
            for target in [
                "/v1/leads?score=77", "/v1/leads?score[gte]=1", "/v1/leads?score[null]=true", "/v1/leads?email=secret@kestrel.example",
                "/v1/leads?email[prefix]=s", "/v1/leads?sort=score", "/v1/leads?sort=-score", "/v1/leads?fields=id,score",
                "/v1/leads?deleted=only&fields=email",
            ] {
                let reply = try await api.send(.get, target, as: caller)
                let never = target.replacing("score", with: "zzzzz").replacing("email", with: "zzzzz")
                let unknown = try await api.send(.get, never, as: caller)
                #expect(reply.status == 400, "\(target)")
                let expected = unknown.text.replacing("zzzzz", with: target.contains("score") ? "score" : "email")
                // The nearest name depends on the name.
                #expect(reply.text.replacing(/\ Did you mean '[^']*'\?/, with: "") == expected, "\(target)")
            }
            for (target, word) in [("/v1/leads?scor=1", "score"), ("/v1/leads?emai=1", "email"), ("/v1/leads?fields=emial", "email")] {
                #expect(try await !api.send(.get, target, as: caller).text.contains(word))
                #expect(try await api.send(.get, target, as: api.member()).text.contains("Did you mean '\(word)'?"))
            }
        }
    }

    @Test func aBodyCannotGiveIt() async throws {
        try await ResourceAPI.leads { api in
            let (admin, caller) = (api.member(), api.member(fields: Self.hidden))
            let lead = try await api.create(Self.lead, as: admin)
            let path = "/v1/leads/\(lead.id)"
            func body(_ members: String) -> [(Core.Method, String, String, String)] {
                [
                    (.post, "/v1/leads", #"{"last_name":"A",\#(members)}"#, ""), (.patch, path, "{\(members)}", ""),
                    (.put, "/v1/leads/by-external-id/y", #"{"last_name":"A",\#(members)}"#, ""),
                    (
                        .post, "/v1/leads/batch",
                        #"{"atomic":true,"operations":[{"op":"update","id":"\#(lead.id)","body":{\#(members)}}]}"#,
                        "/operations/0/body"
                    ),
                ]
            }
            for (method, target, text, place) in body(#""score":5"#) {
                let reply = try await api.send(method, target, text, as: caller)
                #expect(reply.status == 400, "\(target) \(reply.text)")
                #expect(try reply.code == "unknown_member" && reply.faults == ["\(place)/score unknown_member"], "\(target)")
            }
            for (method, target, text, place) in body(#""phone":"555""#) {
                let reply = try await api.send(method, target, text, as: caller)
                #expect(reply.status == 422, "\(target) \(reply.text)")
                #expect(try reply.code == "validation_failed" && reply.faults == ["\(place)/phone read_only"], "\(target)")
            }
            let mistyped = try await api.send(.patch, path, #"{"emial":"x"}"#, as: caller)
            #expect(try mistyped.code == "unknown_member" && !mistyped.text.contains("email"))
            #expect(try await api.send(.get, path, as: admin).json == lead)
            // What can only be read is read, and what it was stays when others change.
            let changed = try await api.send(.patch, path, #"{"title":"Master"}"#, as: caller).json
            #expect(changed["phone"] == lead["phone"] && changed["title"] == "Master")
        }
    }

    /// Words of hidden fields would be told by the time that a search takes.
    @Test func nothingIsSearchedWhereASearchedFieldIsHidden() async throws {
        try await ResourceAPI.leads { api in
            let (admin, caller) = (api.member(), api.member(fields: Self.hidden))
            let lead = try await api.create(Self.lead, as: admin)
            for query in ["secret", "okafor", "-kestrel", "zzzzz"] {
                for extra in ["", "&count=exact", "&sort=last_name", "&company=Harbour", "&deleted=include"] {
                    let reply = try await api.send(.get, "/v1/leads?q=\(query)\(extra)", as: caller)
                    #expect(try reply.status == 400 && reply.code == "invalid_parameter", "\(query)\(extra): \(reply.text)")
                    #expect(reply.text.contains("q is not there for your role"), "\(reply.text)")
                    Self.check(reply, "\(query)\(extra)")
                }
            }
            // What is not searched may be hidden, and what is may be kept from being changed.
            let other = api.member(fields: ["leads": ["score": .hidden, "email": .readOnly], "accounts": ["name": .hidden]])
            #expect(try await api.send(.get, "/v1/leads?q=kestrel", as: other).column("id") == [.string(lead.id)])
        }
    }

    @Test func whatIsExpandedIsUnderRulesToo() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let account = try await api.create(
                #"{"name":"Kestrel","domain":"secret.example","phone":"123 456"}"#, at: "/v1/accounts", as: admin)
            let contact = try await api.create(#"{"last_name":"A","account_id":"\#(account.id)"}"#, as: admin)
            let caller = api.member(fields: ["accounts": ["domain": .hidden]])
            for target in ["/v1/contacts/\(contact.id)?expand=account", "/v1/contacts?expand=account"] {
                let reply = try await api.send(.get, target, as: caller)
                #expect(reply.status == 200 && reply.text.contains("Kestrel") && reply.text.contains("123 456"))
                #expect(!reply.text.contains("secret") && !reply.text.contains("domain"), "\(reply.text)")
            }
            // Without the reference there is nothing to expand, and no list by it.
            let cut = api.member(fields: ["contacts": ["account_id": .hidden]])
            let reply = try await api.send(.get, "/v1/contacts?expand=account", as: cut)
            #expect(try reply.status == 400 && reply.code == "invalid_parameter")
            let list = api.resources[0].list(of: api.resources[1], by: "account_id")
            let target = "/v1/accounts/\(account.id)/contacts"
            #expect(try await api.send(.get, target, as: admin, further: [list]).status == 200)
            #expect(try await api.send(.get, target, as: cut, further: [list]).status == 404)
        }
    }

    /// The same caller, whose role hides more by the time of the repeat.
    @Test func aReplayShowsWhatCanBeSeenNow() async throws {
        try await ResourceAPI.leads { api in
            let user = UserID()
            let (before, after) = (api.member(user: user), api.member(user: user, fields: Self.hidden))
            let lead = try await api.create(Self.lead, as: api.member())
            for (method, target, body) in [
                (.post, "/v1/leads", Self.lead), (.patch, "/v1/leads/\(lead.id)", #"{"score":77,"title":"X"}"#),
                (.put, "/v1/leads/by-external-id/r", Self.lead),
                (
                    .post, "/v1/leads/batch",
                    #"{"operations":[{"op":"create","body":\#(Self.lead)},{"op":"update","id":"\#(lead.id)","body":{"email":"no"}}]}"#
                ),
                (.post, "/v1/leads/batch", #"{"atomic":true,"operations":[{"op":"create","body":\#(Self.lead)}]}"#),
            ] as [(Core.Method, String, String)] {
                let key = ["Idempotency-Key": RecordID().description]
                let first = try await api.send(method, target, body, as: before, headers: key)
                #expect(first.text.contains("score"), "\(target) \(first.text)")
                let again = try await api.send(method, target, body, as: before, headers: key)
                #expect(again.text == first.text && again.header("idempotent-replayed") == "true")
                // What is no longer to be given is refused; an answer of then shows no more than can be seen.
                let later = try await api.send(method, target, body, as: after, headers: key)
                Self.check(Reply(status: later.status, headers: [], body: later.status < 300 ? later.body : []), "\(target)")
                #expect(later.status == 400 || later.header("idempotent-replayed") == "true", "\(target): \(later.text)")
            }
            // Bodies that are in order under both roles.
            let body = #"{"operations":[{"op":"update","id":"\#(lead.id)","body":{"title":"Y"}}]}"#
            for (method, target, body) in [
                (.patch, "/v1/leads/\(lead.id)", #"{"title":"Z"}"#), (.post, "/v1/leads/batch", body),
                (.post, "/v1/leads/batch", body.replacing("{\"operations", with: "{\"atomic\":true,\"operations")),
            ] as [(Core.Method, String, String)] {
                let key = ["Idempotency-Key": RecordID().description]
                #expect(try await api.send(method, target, body, as: before, headers: key).text.contains("secret"))
                let later = try await api.send(method, target, body, as: after, headers: key)
                #expect(later.header("idempotent-replayed") == "true")
                #expect(later.text.contains("Okafor"), "\(later.text)")
                Self.check(later, "\(target)")
            }
        }
    }

    @Test func anEntityTagIsOneOfWhatIsShown() async throws {
        try await ResourceAPI.leads { api in
            let (admin, caller) = (api.member(), api.member(fields: Self.hidden))
            let lead = try await api.create(Self.lead, as: admin)
            let path = "/v1/leads/\(lead.id)"
            let tag = try #require(try await api.send(.get, path, as: caller).header("etag"))
            #expect(tag.hasPrefix("\"1-"))
            #expect(try await api.send(.get, path, as: caller, headers: ["if-none-match": tag]).status == 304)
            // That of the whole record, from before the role was changed, is of another answer.
            #expect(try await api.send(.get, path, as: caller, headers: ["if-none-match": "\"1\""]).status == 200)
            let changed = try await api.send(.patch, path, #"{"title":"X"}"#, as: caller, headers: ["if-match": tag])
            #expect(changed.status == 200 && changed.header("etag")?.hasPrefix("\"2-") == true)
            #expect(try await api.send(.get, path, as: caller).header("etag") == changed.header("etag"))
            #expect(try await api.send(.patch, path, #"{"title":"Y"}"#, as: caller, headers: ["if-match": tag]).status == 412)
            #expect(try await api.send(.delete, path, as: caller, headers: ["if-match": tag]).status == 412)
        }
    }

    /// What a hidden field has is what it would have if it had not been given.
    @Test func aHiddenCurrencyIsTheTenants() async throws {
        try await ResourceAPI.accounts { api in
            var caller = api.member(fields: ["accounts": ["currency": .hidden]])
            caller.currency = "EUR"
            let created = try await api.send(.post, "/v1/accounts", #"{"name":"B","annual_revenue_minor":5}"#, as: caller)
            #expect(created.status == 201 && !created.text.contains("currency"), "\(created.text)")
            let id = try created.json["id"]?.string ?? ""
            #expect(try await api.send(.get, "/v1/accounts/\(id)", as: api.member()).json["currency"] == "EUR")
        }
    }

    /// That a rate has another currency than its own, the caller cannot know who does not know that one.
    @Test func aFaultNamesNoHiddenField() async throws {
        try await ResourceAPI.run(ExchangeRate.definition) { api in
            var caller = api.member(fields: ["exchange_rates": ["base_currency": .hidden]])
            caller.currency = "EUR"
            let body = #"{"currency":"EUR","rate":"1.5","valid_from":"2026-01-31"}"#
            let refused = try await api.send(.post, "/v1/exchange-rates", body, as: caller)
            #expect(try refused.status == 422 && refused.faults == [" not_allowed"], "\(refused.text)")
            #expect(!refused.text.contains("base"))
        }
    }

    /// Since when a ticket is solved says that it is, and a refusal that was kept says what it was.
    @Test func whatTellsOfAHiddenStateIsHiddenToo() async throws {
        try await ResourceAPI.tickets { api in
            let user = UserID()
            let (before, after) = (api.member(user: user), api.member(user: user, fields: ["tickets": ["status": .hidden]]))
            let ticket = try await api.create(#"{"subject":"Export","status":"solved"}"#, as: before)
            let path = "/v1/tickets/\(ticket.id)"
            let shown = try await api.send(.get, path, as: after)
            #expect(shown.status == 200 && !shown.text.contains("status") && !shown.text.contains("solved"), "\(shown.text)")
            #expect(try await api.send(.get, "/v1/tickets?fields=solved_at", as: after).status == 400)
            #expect(try await api.send(.patch, path, #"{"status":"closed"}"#, as: before).status == 200)
            let key = ["Idempotency-Key": RecordID().description]
            let body = #"{"operations":[{"op":"update","id":"\#(ticket.id)","body":{"subject":"Import"}}]}"#
            let first = try await api.send(.post, "/v1/tickets/batch", body, as: before, headers: key)
            #expect(first.text.contains("closed") && first.text.contains(#""allowed""#), "\(first.text)")
            let later = try await api.send(.post, "/v1/tickets/batch", body, as: after, headers: key)
            #expect(later.header("idempotent-replayed") == "true")
            let told = try later.json["results"]?[0]?["body"]
            #expect(told?["code"] == "conflict")
            let names = Set(told?.object?.names ?? [])
            #expect(names.isSubset(of: ["type", "title", "status", "code", "request_id"]), "\(later.text)")
        }
    }

    /// What roles can name is declared elsewhere: both say the same of what follows from what.
    @Test func theCatalogueKnowsTheFieldsThatGoTogether() throws {
        for definition in [
            Lead.definition, Contact.definition, Account.definition, Note.definition, MemberTask.definition, Pipeline.definition,
            Deal.definition, Product.definition, ExchangeRate.definition, Ticket.definition,
        ] {
            let catalogue = try #require(FieldCatalogue.find(definition.name))
            let companions = definition.companions
            #expect(catalogue.aggregate == definition.singular && catalogue.companions == companions, "\(definition.name)")
            let own = definition.fields.filter { field in
                if case .e164 = field.kind { false } else { field.isReadOnly }
            }
            #expect(Set(catalogue.readOnly) == Set(own.map(\.name)), "\(definition.name)")
            var amounts: [String: String] = [:]
            for field in definition.fields { if case .amount(let currency) = field.kind { amounts[field.name] = currency } }
            #expect(catalogue.amounts == amounts, "\(definition.name)")
        }
    }

    /// The number that people call a ticket by is searched too.
    @Test func aHiddenNumberFindsNothing() async throws {
        try await ResourceAPI.tickets { api in
            let (admin, caller) = (api.member(), api.member(fields: ["tickets": ["number": .hidden]]))
            let ticket = try await api.create(#"{"subject":"Export"}"#, as: admin)
            #expect(try await api.send(.get, "/v1/tickets?q=%231", as: admin).column("id") == [.string(ticket.id)])
            for query in ["1", "%231"] {
                #expect(try await api.send(.get, "/v1/tickets?q=\(query)", as: caller).code == "invalid_parameter")
            }
            #expect(try await api.send(.get, "/v1/tickets?sort=number", as: caller).status == 400)
            #expect(try await !api.send(.post, "/v1/tickets", #"{"subject":"B"}"#, as: caller).text.contains("number"))
        }
    }

    /// Whose record it is counts, whether the caller sees it or not.
    @Test func aHiddenOwnerIsStillTheOwner() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            var caller = api.member(.sales, user: api.colleague, fields: ["leads": ["owner_id": .hidden]])
            caller.scopes[.leads] = .own
            let own = try await api.create(#"{"last_name":"Own","owner_id":"\#(api.colleague)"}"#, as: admin)
            let other = try await api.create(#"{"last_name":"Other"}"#, as: admin)
            #expect(try await api.send(.get, "/v1/leads", as: caller).column("id") == [.string(own.id)])
            #expect(try await api.send(.get, "/v1/leads/\(other.id)", as: caller).status == 404)
            let created = try await api.send(.post, "/v1/leads", #"{"last_name":"New"}"#, as: caller).json
            #expect(created["owner_id"] == nil)
            #expect(try await api.send(.get, "/v1/leads/\(created.id)", as: admin).json["owner_id"]?.string == api.colleague.description)
        }
    }
}
