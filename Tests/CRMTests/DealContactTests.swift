import CRM
import Core
import Operations
import Postgres
import TestSupport
import Testing

/// The contacts of a deal, and the roles that they play.
@Suite struct DealContactTests {
    static func contact(_ name: String, in office: Office, as caller: Caller? = nil) async throws -> String {
        try await office.make("/v1/contacts", ["last_name": .string(name), "email": .string("\(name)@kestrel.example")], as: caller)
    }

    static func deal(with contact: String? = nil, in office: Office, as caller: Caller? = nil) async throws -> String {
        try await office.make("/v1/deals", ["name": "Kestrel", "contact_id": contact.map { .string($0) } ?? nil], as: caller)
    }

    /// Of each contact in the list the name, the role, and whether it is the main one.
    static func people(_ deal: String, in office: Office, as caller: Caller? = nil) async throws -> [String] {
        let list = try await office.send(.get, "/v1/deals/\(deal)/contacts", as: caller, expecting: 200)
        return (list.json["data"]?.array ?? []).map { one in
            let name = one["contact"]?["last_name"]?.string ?? "-"
            return "\(name) \(one["role"]?.string ?? "-")\(one["is_main"] == true ? " main" : "")"
        }
    }

    static func events(of office: Office) async throws -> [String] {
        try await office.database.query(
            in: .crm, ["select type || ' ' || actor from outbox where aggregatetype = 'deal_contact' order by lane, id"])[0].map {
                try $0.decode(0)
            }
    }

    @Test func contactsAreLinkedWithARoleAndTakenAway() async throws {
        try await Office.run { office in
            guard case .member(let context) = office.admin else { return }
            let (main, buyer, lawyer) = (
                try await Self.contact("main", in: office), try await Self.contact("buyer", in: office),
                try await Self.contact("lawyer", in: office)
            )
            let deal = try await Self.deal(with: main, in: office)
            let path = "/v1/deals/\(deal)/contacts"
            // The main one is there without a link, about which nothing is told.
            let alone = try await office.send(.get, path, expecting: 200).json["data"]?[0]
            #expect(
                alone?["contact_id"]?.string == main && alone?["is_main"] == true && alone?["id"] == .null && alone?["version"] == .null)
            #expect(alone?["created_at"] == .null && alone?["contact"]?["email"] == "main@kestrel.example")

            let made = try await office.send(.put, "\(path)/\(buyer)", ["role": "  Buyer "], expecting: 201)
            #expect(
                made.json["role"] == "Buyer" && made.json["version"] == 1 && made.json["is_main"] == false && made.header("etag") == "\"1\""
            )
            #expect(made.json["deal_id"]?.string == deal && made.json["contact_id"]?.string == buyer)
            #expect(made.json["created_by"]?.string == context.user.description && made.json["created_at"] == made.json["updated_at"])
            // The same again changes nothing.
            let same = try await office.send(.put, "\(path)/\(buyer)", ["role": "Buyer"], expecting: 200)
            #expect(same.body == made.body)
            let changed = try await office.send(
                .put, "\(path)/\(buyer)", ["role": nil], headers: [("if-match", "\"1\"")], expecting: 200)
            #expect(changed.json["role"] == .null && changed.json["version"] == 2 && changed.json["created_at"] == made.json["created_at"])
            let stale = try await office.send(.put, "\(path)/\(buyer)", ["role": "X"], headers: [("if-match", "\"1\"")], expecting: 412)
            #expect(stale.code == "version_mismatch" && stale.json["current_version"] == 2)
            try await office.send(.put, "\(path)/\(lawyer)", ["role": "X"], headers: [("if-match", "\"1\"")], expecting: 412)
            try await office.send(.put, "\(path)/\(lawyer)", ["role": "Legal"], expecting: 201)
            let own = try await office.send(.put, "\(path)/\(main)", ["role": "Sponsor"], expecting: 201)
            #expect(own.json["is_main"] == true)
            #expect(try await Self.people(deal, in: office) == ["main Sponsor main", "buyer -", "lawyer Legal"])
            // The deal itself is as it was.
            #expect(try await office.send(.get, "/v1/deals/\(deal)", expecting: 200).json["version"] == 1)

            var (pages, next) = ([String](), "?limit=1")
            while pages.count < 5 {
                let page = try await office.send(.get, path + next, expecting: 200).json
                pages += page["data"]?.array?.compactMap { $0["contact"]?["last_name"]?.string } ?? []
                guard let cursor = page["page"]?["next"]?.string else { break }
                next = "?limit=1&after=\(cursor)"
            }
            #expect(pages == ["main", "buyer", "lawyer"])
            #expect(try await office.send(.get, "\(path)?after=x", expecting: 400).code == "invalid_cursor")

            // Another main one: the former stays as it is linked.
            try await office.send(.patch, "/v1/deals/\(deal)", ["contact_id": .string(lawyer)], expecting: 200)
            #expect(try await Self.people(deal, in: office) == ["lawyer Legal main", "buyer -", "main Sponsor"])
            try await office.send(.delete, "\(path)/\(buyer)", headers: [("if-match", "\"1\"")], expecting: 412)
            try await office.send(.delete, "\(path)/\(buyer)", headers: [("if-match", "\"2\"")], expecting: 204)
            try await office.send(.delete, "\(path)/\(buyer)", expecting: 404)
            // The main one stays, without its role.
            try await office.send(.delete, "\(path)/\(lawyer)", expecting: 204)
            #expect(try await Self.people(deal, in: office) == ["lawyer - main", "main Sponsor"])
            try await office.send(.delete, "\(path)/\(lawyer)", expecting: 404)

            let user = context.user.description
            #expect(
                try await Self.events(of: office)
                    == ["created", "updated", "created", "created", "erased", "erased"].map { "deal_contact.\($0) \(user)" })
            // An entry has what the answer has.
            let entry = try await office.database.query(
                in: .crm, ["select payload -> 'after' from outbox where type = 'deal_contact.created' order by lane, id limit 1"])[0]
            var shown = try #require(made.json.object)
            shown["is_main"] = nil
            #expect(try entry[0].decode(0, as: JSON.self).canonical == JSON.object(shown).canonical)
        }
    }

    @Test func aRepeatWithItsKeyIsAnsweredAsBefore() async throws {
        try await Office.run { office in
            let (deal, contact) = (try await Self.deal(in: office), try await Self.contact("a", in: office))
            let path = "/v1/deals/\(deal)/contacts/\(contact)"
            let key = [("idempotency-key", "k")]
            let made = try await office.send(.put, path, ["role": "A"], headers: key, expecting: 201)
            try await office.send(.put, path, ["role": "B"], expecting: 200)
            let again = try await office.send(.put, path, ["role": "A"], headers: key, expecting: 201)
            #expect(again.body == made.body && again.header("etag") == "\"1\"" && again.header("idempotent-replayed") == "true")
            #expect(try await office.send(.put, path, ["role": "C"], headers: key, expecting: 422).code == "idempotency_key_reused")
            try await office.send(.delete, path, headers: key, expecting: 204)
            let gone = try await office.send(.delete, path, headers: key, expecting: 204)
            #expect(gone.header("idempotent-replayed") == "true")
            #expect(try await office.send(.put, path, ["role": "A"], headers: key, expecting: 201).body == made.body)
            #expect(try await Self.people(deal, in: office).isEmpty)
        }
    }

    /// As records with an id of another system: one is only made, or only changed, where a header says so.
    @Test func aLinkIsOnlyMadeOrOnlyChangedWhereThatIsAskedFor() async throws {
        try await Office.run { office in
            let (deal, contact) = (try await Self.deal(in: office), try await Self.contact("a", in: office))
            let path = "/v1/deals/\(deal)/contacts/\(contact)"
            let (makes, changes) = ([("if-none-match", "*")], [("if-match", "*")])
            let missing = try await office.send(.put, path, ["role": "A"], headers: changes, expecting: 412)
            #expect(missing.code == "version_mismatch" && missing.json["current_version"] == nil)
            let key = [("idempotency-key", "k")]
            let made = try await office.send(.put, path, ["role": "A"], headers: makes + key, expecting: 201)
            #expect(try await office.send(.put, path, ["role": "A"], headers: makes + key, expecting: 201).body == made.body)
            for role in ["A", "B"] as [JSON] {
                let refused = try await office.send(.put, path, ["role": role], headers: makes, expecting: 412)
                #expect(refused.code == "version_mismatch" && refused.json["current_version"] == 1)
            }
            #expect(try await office.send(.put, path, ["role": "B"], headers: changes, expecting: 200).json["version"] == 2)
            for headers in [makes + changes, [("if-none-match", "\"2\"")]] {
                let wrong = try await office.send(.put, path, ["role": "C"], headers: headers, expecting: 400)
                #expect(wrong.code == "invalid_parameter" && wrong.json["errors"]?[0]?["pointer"] == "If-None-Match")
            }
            #expect(try await Self.people(deal, in: office) == ["a B"])
        }
    }

    @Test func whatCannotBeLinkedIsRefused() async throws {
        try await Office.run { office in
            let (deal, contact) = (try await Self.deal(in: office), try await Self.contact("a", in: office))
            let path = "/v1/deals/\(deal)/contacts"
            let stranger = AccountTests.member(.tenantAdmin)
            let foreign = try await Self.contact("b", in: office, as: stranger)
            let deleted = try await Self.contact("c", in: office)
            try await office.send(.put, "\(path)/\(deleted)", ["role": "Gone"], expecting: 201)
            try await office.send(.delete, "/v1/contacts/\(deleted)", expecting: 204)
            for (target, body, status, code, pointer) in [
                ("\(path)/\(contact)", .object(JSONObject()), 422, "validation_failed", "/role"),
                ("\(path)/\(contact)", ["role": 5], 422, "validation_failed", "/role"),
                ("\(path)/\(contact)", ["role": .string(String(repeating: "x", count: 101))], 422, "validation_failed", "/role"),
                ("\(path)/\(contact)", ["role": nil, "roll": "x"], 400, "unknown_member", "/roll"),
                ("\(path)/\(contact)?x=1", ["role": nil], 400, "unknown_parameter", "?x"),
                ("\(path)/\(RecordID())", ["role": nil], 422, "reference_not_found", "/contact_id"),
                ("\(path)/\(foreign)", ["role": nil], 422, "reference_not_found", "/contact_id"),
                ("\(path)/\(deleted)", ["role": nil], 422, "reference_not_found", "/contact_id"),
                ("\(path)/x", ["role": nil], 404, "not_found", nil),
                ("/v1/deals/\(RecordID())/contacts/\(contact)", ["role": nil], 404, "not_found", nil),
            ] as [(String, JSON, Int, String, String?)] {
                let answer = try await office.send(.put, target, body, expecting: status)
                #expect(
                    answer.code == code && answer.json["errors"]?[0]?["pointer"]?.string == pointer, "\(target) \(body): \(answer.text)")
            }
            // Of who is deleted nothing is shown or taken away; whoever comes back is there again.
            #expect(try await Self.people(deal, in: office).isEmpty)
            try await office.send(.delete, "\(path)/\(deleted)", expecting: 404)
            try await office.send(.post, "/v1/contacts/\(deleted)/restore", expecting: 200)
            #expect(try await Self.people(deal, in: office) == ["c Gone"])
            // Nor of a deal of another tenant, or one that is deleted.
            for caller in [stranger, office.admin] {
                if caller != stranger { try await office.send(.delete, "/v1/deals/\(deal)", expecting: 204) }
                try await office.send(.get, path, as: caller, expecting: 404)
                try await office.send(.put, "\(path)/\(caller == stranger ? foreign : contact)", ["role": nil], as: caller, expecting: 404)
                try await office.send(.delete, "\(path)/\(deleted)", as: caller, expecting: 404)
            }
            try await office.send(.post, "/v1/deals/\(deal)/restore", expecting: 200)
            #expect(try await Self.people(deal, in: office) == ["c Gone"])
        }
    }

    @Test func aLinkIsSeenAndChangedAsItsDealIs() async throws {
        try await Office.run { office in
            let sales = office.caller(.sales) { $0.scopes[.deals] = .own }
            let (own, others) = (try await Self.deal(in: office, as: sales), try await Self.deal(in: office))
            let (hers, colleagues) = (try await Self.contact("hers", in: office, as: sales), try await Self.contact("other", in: office))
            try await office.send(.put, "/v1/deals/\(own)/contacts/\(hers)", ["role": "A"], as: sales, expecting: 201)
            // Whom she does not see she does not link, and sees without a name where somebody else has.
            let refused = try await office.send(.put, "/v1/deals/\(own)/contacts/\(colleagues)", ["role": "B"], as: sales, expecting: 422)
            #expect(refused.code == "reference_not_found")
            try await office.send(.put, "/v1/deals/\(own)/contacts/\(colleagues)", ["role": "B"], expecting: 201)
            #expect(try await Self.people(own, in: office, as: sales) == ["hers A", "- B"])
            try await office.send(.delete, "/v1/deals/\(own)/contacts/\(colleagues)", as: sales, expecting: 204)
            try await office.send(.get, "/v1/deals/\(others)/contacts", as: sales, expecting: 404)
            try await office.send(.put, "/v1/deals/\(others)/contacts/\(hers)", ["role": "A"], as: sales, expecting: 404)

            let path = "/v1/deals/\(own)/contacts"
            let reader = office.caller(.readOnly)
            #expect(try await Self.people(own, in: office, as: reader) == ["hers A"])
            for caller in [reader, office.caller(.support)] {
                try await office.send(.put, "\(path)/\(hers)", ["role": "C"], as: caller, expecting: 403)
                try await office.send(.delete, "\(path)/\(hers)", as: caller, expecting: 403)
            }
            try await office.send(.get, path, as: office.caller(.support), expecting: 403)
            // A role that may read deals and no contacts, and roles that fields are hidden from.
            let blind = office.caller(.readOnly) { $0.permissions = PermissionSet([Permission(.deals, .read)]) }
            #expect(try await Self.people(own, in: office, as: blind) == ["- A"])
            let masked = office.caller(.manager) { $0.fields = FieldRules(["contacts": ["email": .hidden]]) }
            let shown = try await office.send(.get, path, as: masked, expecting: 200).json["data"]?[0]?["contact"]
            #expect(shown?["last_name"] == "hers" && shown?["email"] == nil, "\(shown ?? .null)")
            let hidden = office.caller(.manager) { $0.fields = FieldRules(["deals": ["contact_id": .hidden]]) }
            try await office.send(.get, path, as: hidden, expecting: 404)
            try await office.send(.put, "\(path)/\(hers)", ["role": "C"], as: hidden, expecting: 404)
            let kept = office.caller(.manager) { $0.fields = FieldRules(["deals": ["contact_id": .readOnly]]) }
            #expect(try await Self.people(own, in: office, as: kept) == ["hers A"])
            try await office.send(.put, "\(path)/\(hers)", ["role": "C"], as: kept, expecting: 403)
            try await office.send(.delete, "\(path)/\(hers)", as: kept, expecting: 403)
        }
    }

    @Test func aDealHasAtMostAHundredContacts() async throws {
        try await Office.run { office in
            let deal = try await Self.deal(in: office)
            let tenant = office.tenant
            try await office.database.query(
                in: .crm,
                [
                    """
                    insert into contact (tenant_id, id, last_name, created_by, updated_by) \
                    select \(tenant)::uuid, uuid_v7(), 'C', uuid_v7(), uuid_v7() from generate_series(1, 99)
                    """,
                    """
                    insert into deal_contact (tenant_id, deal_id, contact_id, created_by, updated_by) \
                    select tenant_id, \(deal)::uuid, id, created_by, created_by from contact where tenant_id = \(tenant)
                    """,
                ])
            var contacts: [String] = []
            for name in ["a", "b", "c", "d", "e"] { contacts.append(try await Self.contact(name, in: office)) }
            let answers = try await withThrowingTaskGroup(of: APIAnswer.self) { group in
                for contact in contacts {
                    group.addTask { try await office.send(.put, "/v1/deals/\(deal)/contacts/\(contact)", ["role": "A"]) }
                }
                return try await group.reduce(into: [APIAnswer]()) { $0.append($1) }
            }
            #expect(answers.map(\.status).sorted() == [201, 422, 422, 422, 422])
            let refused = try #require(answers.first { $0.status == 422 })
            #expect(refused.code == "validation_failed" && refused.text.contains("100 contacts"), "\(refused.text)")
            #expect(refused.json["errors"]?[0]?["code"] == "too_many" && refused.json["errors"]?[0]?["pointer"] == "/contact_id")
            // Those who are there can be given a role.
            let there = try #require(answers.first { $0.status == 201 }?.json["contact_id"]?.string)
            let path = "/v1/deals/\(deal)/contacts"
            try await office.send(.put, "\(path)/\(there)", ["role": "B"], expecting: 200)
            // One who is deleted may come back. Who became another one is that one by now, with its link.
            try await office.send(.delete, "/v1/contacts/\(there)", expecting: 204)
            let next = try #require(contacts.first { $0 != there })
            try await office.send(.put, "\(path)/\(next)", ["role": "A"], expecting: 422)
            try await office.send(.post, "/v1/contacts/\(there)/restore", expecting: 200)
            let other = try await office.send(.get, "\(path)?limit=1", expecting: 200).json["data"]?[0]?["contact_id"] ?? .null
            try await office.send(.post, "/v1/contacts/\(there)/merge", ["from": [other]], expecting: 200)
            try await office.send(.put, "\(path)/\(next)", ["role": "A"], expecting: 201)
        }
    }

    @Test func theDealsOfAContactAreListed() async throws {
        try await Office.run { office in
            let sales = office.caller(.sales) { $0.scopes[.deals] = .own }
            let contact = try await Self.contact("a", in: office, as: sales)
            let main = try await Self.deal(with: contact, in: office)
            let linked = try await Self.deal(in: office, as: sales)
            _ = try await Self.deal(in: office)
            for deal in [main, linked] {
                try await office.send(.put, "/v1/deals/\(deal)/contacts/\(contact)", ["role": "A"], expecting: 201)
            }
            let path = "/v1/contacts/\(contact)/deals"
            func ids(_ query: String = "", as caller: Caller? = nil) async throws -> [String] {
                let list = try await office.send(.get, path + query, as: caller, expecting: 200)
                return list.json["data"]?.array?.compactMap { $0["id"]?.string } ?? []
            }
            #expect(try await ids() == [linked, main])
            #expect(try await ids("?sort=created_at&status=open") == [main, linked])
            #expect(try await ids("?status=won").isEmpty)
            #expect(try await office.send(.get, "\(path)?count=exact&limit=1", expecting: 200).json["page"]?["total"] == 2)
            let first = try await office.send(.get, "\(path)?limit=1", expecting: 200).json["page"]?["next"]?.string ?? ""
            #expect(try await ids("?limit=1&after=\(first)") == [main])
            // Each caller his own; and no one who may not know whom a deal is with.
            #expect(try await ids(as: sales) == [linked])
            let hidden = office.caller(.manager) { $0.fields = FieldRules(["deals": ["contact_id": .hidden]]) }
            try await office.send(.get, path, as: hidden, expecting: 404)
            try await office.send(.get, path, as: office.caller(.support), expecting: 403)
            try await office.send(.get, path, as: AccountTests.member(.tenantAdmin), expecting: 404)
            for deal in [main, linked] { try await office.send(.delete, "/v1/deals/\(deal)", expecting: 204) }
            #expect(try await ids().isEmpty)
            #expect(try await ids("?deleted=only") == [linked, main])
        }
    }

    @Test func aConversionWhoseContactIsLinkedIsNotUndone() async throws {
        try await Office.run { office in
            let lead = try await office.make("/v1/leads", ["last_name": "L"])
            let converted = try await office.send(.post, "/v1/leads/\(lead)/convert", expecting: 200)
            let contact = converted.json["contact"]?["id"]?.string ?? ""
            let path = "/v1/deals/\(try await Self.deal(in: office))/contacts/\(contact)"
            try await office.send(.put, path, ["role": nil], expecting: 201)
            let refused = try await office.send(.delete, "/v1/leads/\(lead)/conversion", expecting: 409)
            #expect(refused.json["changed"] == ["contact"])
            try await office.send(.delete, path, expecting: 204)
            try await office.send(.delete, "/v1/leads/\(lead)/conversion", expecting: 204)
        }
    }
}
