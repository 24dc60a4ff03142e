import CRM
import Core
import Operations
import Postgres
import TestSupport
import Testing

/// Leads become accounts and contacts, once and wholly, and back.
@Suite struct LeadConversionTests {
    private static let lead: JSON = [
        "first_name": "Ngozi", "last_name": "Okafor", "company": "Kestrel Freight", "title": "Plant Manager",
        "email": "n.okafor@Mail.Kestrel.example", "phone": "+49 40 5550101", "website": "https://www.kestrel.example/en?x=1",
        "source": "fair",
        "status": "qualified", "score": 42, "tags": ["priority"], "address": ["city": "Hamburg"], "custom": ["tier": "gold"],
    ]

    @Test func aLeadBecomesAnAccountAndAContact() async throws {
        try await Office.run { office in
            let id = try await office.make("/v1/leads", Self.lead)
            let note = try await office.make("/v1/notes", ["body": "Rang", "related": ["type": "lead", "id": .string(id)]])
            let task = try await office.make("/v1/tasks", ["subject": "Ring", "related": ["type": "lead", "id": .string(id)]])
            let before = try await office.events().count
            let answer = try await office.send(.post, "/v1/leads/\(id)/convert", as: office.admin, expecting: 200)
            let (lead, account, contact) = (answer.json["lead"], answer.json["account"], answer.json["contact"])
            for (name, value) in [
                ("name", "Kestrel Freight"), ("domain", "kestrel.example"), ("website", "https://www.kestrel.example/en?x=1"),
                ("address", ["street": nil, "city": "Hamburg"]), ("status", "prospect"), ("version", 1), ("custom", .object(JSONObject())),
            ] as [(String, JSON)] where name != "address" { #expect(account?[name] == value, "\(name): \(answer.text)") }
            for (name, value) in [
                ("first_name", "Ngozi"), ("last_name", "Okafor"), ("title", "Plant Manager"), ("email", "n.okafor@Mail.Kestrel.example"),
                ("phone", "+49 40 5550101"), ("phone_e164", "+49405550101"), ("tags", ["priority"]), ("custom", ["tier": "gold"]),
                ("do_not_contact", false),
            ] as [(String, JSON)] { #expect(contact?[name] == value, "\(name): \(answer.text)") }
            #expect(account?["address"]?["city"] == "Hamburg" && contact?["address"]?["city"] == "Hamburg")
            #expect(contact?["account_id"] == account?["id"] && contact?["owner_id"] == lead?["owner_id"])
            #expect(lead?["status"] == "converted" && lead?["version"] == 2 && lead?["converted_at"] == lead?["updated_at"])
            #expect(lead?["converted_account_id"] == account?["id"] && lead?["converted_contact_id"] == contact?["id"])
            #expect(answer.header("etag") == "\"2\"")
            #expect(
                try await office.events(from: before).sorted() == [
                    "account.created", "contact.created", "lead.updated", "note.updated", "task.updated",
                ])
            // What the routes of each show is what was answered, and note and task are about the contact.
            #expect(
                try await office.send(.get, "/v1/leads/\(id)?expand=converted_account", expecting: 200).json["converted_account"] == account
            )
            let kept = try await office.send(.get, "/v1/contacts/\(contact?["id"]?.string ?? "")", expecting: 200)
            #expect(kept.json == contact)
            for path in ["/v1/notes/\(note)", "/v1/tasks/\(task)"] {
                let moved = try await office.send(.get, path, expecting: 200).json
                #expect(moved["related"] == ["type": "contact", "id": contact?["id"] ?? .null] && moved["version"] == 2)
            }
        }
    }

    /// By each way there is to change one.
    @Test func aConvertedLeadStaysAsItIs() async throws {
        try await Office.run { office in
            let id = try await office.make("/v1/leads", ["last_name": "A", "external_id": "one"])
            let first = try await office.send(.post, "/v1/leads/\(id)/convert", expecting: 200)
            #expect(first.json["account"] == .null && first.json["contact"]?["account_id"] == .null)
            let lead = try await office.send(.get, "/v1/leads/\(id)", expecting: 200)
            for (method, path, body) in [
                (.patch, "/v1/leads/\(id)", ["score": 1]), (.patch, "/v1/leads/\(id)", ["status": "new"]),
                (.delete, "/v1/leads/\(id)", nil),
                (.delete, "/v1/leads/by-external-id/one", nil), (.put, "/v1/leads/by-external-id/one", ["last_name": "B"]),
                (.post, "/v1/leads/\(id)/convert", nil),
            ] as [(Core.Method, String, JSON?)] {
                let answer = try await office.send(method, path, body, expecting: 409)
                #expect(
                    answer.code == "conflict" && answer.json["detail"]?.string?.contains("converted") == true, "\(path): \(answer.text)")
            }
            for isAtomic in [true, false] {
                for operation in [["op": "update", "id": .string(id), "body": ["score": 1]], ["op": "delete", "id": .string(id)]] as [JSON]
                {
                    let batch = try await office.send(
                        .post, "/v1/leads/batch", ["atomic": .bool(isAtomic), "operations": [operation]], expecting: isAtomic ? 409 : 200)
                    #expect((isAtomic ? batch.json : batch.json["results"]?[0]?["body"])?["code"] == "conflict")
                }
            }
            let second = try await office.send(.post, "/v1/leads/\(id)/convert", expecting: 409)
            #expect(second.json["converted_contact_id"] == first.json["contact"]?["id"] && second.json["converted_account_id"] == .null)
            try await office.send(.patch, "/v1/leads/\(id)", ["last_name": "A"], expecting: 200)
            #expect(try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json == lead.json)
            let told = try await office.send(.get, "/v1/leads/\(id)/conversion", expecting: 200).json["converted"]
            #expect(told?["contact_id"] == first.json["contact"]?["id"] && told?["at"] == lead.json["converted_at"])
        }
    }

    @Test func ofTwentyAtOnceOneConverts() async throws {
        try await Office.run { office in
            let id = try await office.make("/v1/leads", Self.lead)
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<20 {
                    group.addTask { try await office.send(.post, "/v1/leads/\(id)/convert", ["deal": .object(JSONObject())]).status }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.count { $0 == 200 } == 1 && statuses.count { $0 == 409 } == 19, "\(statuses)")
            #expect(try await office.count("/v1/accounts") == 1)
            #expect(try await office.count("/v1/contacts") == 1)
            #expect(try await office.count("/v1/deals") == 1)
            #expect(try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json["version"] == 2)
        }
    }

    @Test func aRepeatWithItsKeyIsAnsweredAsBefore() async throws {
        try await Office.run { office in
            let id = try await office.make("/v1/leads", Self.lead)
            let path = "/v1/leads/\(id)/convert"
            let body: JSON = ["account": ["industry": "Logistics"]]
            let headers = [("idempotency-key", "once")]
            let first = try await office.send(.post, path, body, headers: headers, expecting: 200)
            try await office.send(.patch, "/v1/accounts/\(first.json["account"]?["id"]?.string ?? "")", ["name": "B"], expecting: 200)
            let again = try await office.send(.post, path, body, headers: headers, expecting: 200)
            #expect(again.text == first.text && again.header("idempotent-replayed") == "true")
            #expect(again.header("etag") == first.header("etag"))
            #expect(try await office.send(.post, path, headers: headers, expecting: 422).code == "idempotency_key_reused")
            // One that was made without an account.
            let other = try await office.make("/v1/leads", ["last_name": "B"])
            let plain = try await office.send(.post, "/v1/leads/\(other)/convert", headers: headers, expecting: 422)
            #expect(plain.code == "idempotency_key_reused")
            let made = try await office.send(.post, "/v1/leads/\(other)/convert", headers: [("idempotency-key", "two")], expecting: 200)
            let replayed = try await office.send(.post, "/v1/leads/\(other)/convert", headers: [("idempotency-key", "two")], expecting: 200)
            #expect(replayed.text == made.text && made.json["account"] == .null)
        }
    }

    @Test func bodiesSayWhatIsMadeOrTaken() async throws {
        try await Office.run { office in
            func lead(_ body: JSON = Self.lead) async throws -> String { try await office.make("/v1/leads", body) }
            let account = try await office.make("/v1/accounts", ["name": "There"])
            let contact = try await office.make("/v1/contacts", ["last_name": "There", "account_id": .string(account)])
            let toAccount = try await office.send(
                .post, "/v1/leads/\(lead())/convert",
                ["account": .string(account), "contact": ["title": nil, "email": "new@kestrel.example", "tags": ["x"]]], expecting: 200)
            #expect(toAccount.json["account"]?["version"] == 1 && toAccount.json["contact"]?["account_id"]?.string == account)
            #expect(toAccount.json["contact"]?["title"] == .null && toAccount.json["contact"]?["tags"] == ["x"])
            #expect(toAccount.json["contact"]?["email"] == "new@kestrel.example")
            let toContact = try await office.send(
                .post, "/v1/leads/\(lead())/convert", ["contact": .string(contact)], expecting: 200)
            #expect(toContact.json["contact"]?["version"] == 1 && toContact.json["account"]?["id"]?.string == account)
            #expect(toContact.json["lead"]?["converted_account_id"]?.string == account)
            let alone = try await office.send(.post, "/v1/leads/\(lead())/convert", ["account": nil], expecting: 200)
            #expect(alone.json["account"] == .null)
            let named = try await office.send(
                .post, "/v1/leads/\(lead(["last_name": "A", "email": "a@gmail.com"]))/convert", ["account": ["name": "Named"]],
                expecting: 200)
            #expect(named.json["account"]?["name"] == "Named" && named.json["account"]?["domain"] == .null)
            // A host where anybody may have a place is no company's, be it of a website or an address.
            for (website, email, domain) in [
                ("https://www.linkedin.com/company/kestrel", "a@kestrel.example", "kestrel.example"), (nil, "a@aim.com", nil),
                (nil, "a@Yandex.com", nil),
            ] as [(JSON, JSON, JSON)] {
                let person = try await lead(["last_name": "A", "company": "K", "website": website, "email": email])
                let offer = try await office.send(.get, "/v1/leads/\(person)/conversion", expecting: 200)
                #expect(offer.json["account"]?["values"]?["domain"] == domain, "\(offer.text)")
            }
            // All faults at once, each at its place.
            let id = try await lead(["last_name": "A"])
            func faults(_ body: JSON, _ status: Int, _ code: String) async throws -> [String] {
                let answer = try await office.send(.post, "/v1/leads/\(id)/convert", body, expecting: status)
                #expect(answer.code == code, "\(answer.text)")
                return (answer.json["errors"]?.array ?? []).map { "\($0["pointer"]?.string ?? "") \($0["code"]?.string ?? "")" }.sorted()
            }
            #expect(
                try await faults(
                    ["account": ["domain": "no host"], "contact": ["email": "x", "account_id": .string(account)]], 422, "validation_failed")
                    == ["/account/domain invalid_format", "/contact/account_id not_allowed", "/contact/email invalid_format"])
            #expect(
                try await faults(["dael": 1, "contact": ["nme": "x"]], 400, "unknown_member") == [
                    "/contact/nme unknown_member", "/dael unknown_member",
                ])
            #expect(try await faults(["account": .object(JSONObject())], 422, "validation_failed") == ["/account/name required"])
            #expect(
                try await faults(["contact": nil, "account": 1], 422, "validation_failed") == [
                    "/account invalid_type", "/contact not_nullable",
                ])
            #expect(try await faults(["contact": "x"], 422, "validation_failed") == ["/contact invalid_format"])
            #expect(
                try await faults(["contact": .string(contact), "account": .string(account)], 422, "validation_failed") == [
                    "/account not_allowed"
                ])
            let never: JSON = .string(RecordID().description)
            #expect(
                try await faults(["account": never, "contact": never], 422, "validation_failed") == ["/account not_allowed"])
            #expect(try await faults(["account": never], 422, "reference_not_found") == ["/account reference_not_found"])
            #expect(
                try await faults(["account": ["name": "X", "parent_id": never]], 422, "reference_not_found")
                    == ["/account/parent_id reference_not_found"])
            try await office.send(.patch, "/v1/accounts/\(account)", ["external_id": "taken"], expecting: 200)
            let taken = try await office.send(
                .post, "/v1/leads/\(id)/convert", ["account": ["name": "X", "external_id": "taken"]], expecting: 409)
            #expect(taken.code == "already_exists" && taken.json["id"]?.string == account)
            #expect(taken.json["errors"]?[0]?["pointer"] == "/account/external_id")
            // Nothing of all that was kept.
            #expect(try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json["version"] == 1)
            #expect(try await office.count("/v1/contacts") == 4)
        }
    }

    /// Roles, row scopes, hidden fields, other tenants, stale versions and the plan's limit.
    @Test func whoMayConvertIsHeldToWhatHeMayDo() async throws {
        try await Office.run { office in
            func lead(_ body: JSON = Self.lead) async throws -> String { try await office.make("/v1/leads", body) }
            let id = try await lead()
            let path = "/v1/leads/\(id)/convert"
            try await office.send(.post, path, as: office.caller(.readOnly), expecting: 403)
            try await office.send(.post, path, as: office.caller(.support), expecting: 403)
            try await office.send(.post, path, as: AccountTests.member(.tenantAdmin), expecting: 404)
            try await office.send(.post, "/v1/leads/\(RecordID())/convert", expecting: 404)
            try await office.send(.post, path, as: office.caller(.sales), expecting: 404)
            let without = office.caller(.manager) {
                $0.permissions = PermissionSet($0.permissions.permissions.filter { $0 != Permission(.accounts, .create) })
            }
            #expect(
                try await office.send(.post, path, as: without, expecting: 403).json["detail"]?.string?.contains("accounts.create") == true)
            // Scope own on contacts: a lead of somebody else's would give him a contact that the caller does not see.
            let narrow = office.caller(.manager) { context in
                context.scopes[.contacts] = .own
                context.permissions = PermissionSet(context.permissions.permissions.filter { $0 != Permission(.contacts, .share) })
            }
            let refused = try await office.send(.post, path, as: narrow, expecting: 403)
            #expect(refused.json["errors"]?[0]?["pointer"] == "/contact/owner_id", "\(refused.text)")
            let foreign = try await office.make("/v1/contacts", ["last_name": "Of the admin"])
            try await office.send(.post, path, ["contact": .string(foreign)], as: narrow, expecting: 422)
            // An account that the caller does not see is not shown by way of its contact.
            let hers = try await office.make("/v1/accounts", ["name": "Hers"])
            let herContact = try await office.make("/v1/contacts", ["last_name": "Hers", "account_id": .string(hers)])
            let blindToAccounts = office.caller(.manager) { $0.scopes[.accounts] = .own }
            let veiled = try await office.send(
                .post, "/v1/leads/\(lead())/convert", ["contact": .string(herContact)], as: blindToAccounts, expecting: 200)
            #expect(veiled.json["account"] == .null && veiled.json["lead"]?["converted_account_id"]?.string == hers)
            let mine = try await office.send(.post, path, ["contact": ["owner_id": nil]], as: narrow, expecting: 200)
            #expect(mine.json["contact"]?["last_name"] == "Okafor")
            let sharing = office.caller(.manager) { $0.scopes[.contacts] = .own }
            let given = try await office.send(.post, "/v1/leads/\(lead())/convert", as: sharing, expecting: 200)
            #expect(Set(given.json["contact"]?.object?.names ?? []) == ["id", "version"])
            // What is hidden of the lead does not go along.
            let blind = office.caller(.manager) {
                $0.fields = FieldRules(["leads": ["email": .hidden, "company": .hidden, "phone": .hidden]])
            }
            let seen = try await office.send(.post, "/v1/leads/\(lead())/convert", as: blind, expecting: 200)
            #expect(
                seen.json["account"] == .null && seen.json["contact"]?["email"] == .null && seen.json["contact"]?["phone_e164"] == .null)
            let kept = office.caller(.manager) { $0.fields = FieldRules(["leads": ["status": .readOnly]]) }
            let other = try await lead()
            try await office.send(.post, "/v1/leads/\(other)/convert", as: kept, expecting: 403)
            let stale = try await office.send(.post, "/v1/leads/\(other)/convert", headers: [("if-match", "\"7\"")], expecting: 412)
            #expect(stale.json["current_version"] == 1)
            // At the plan's limit nothing is in the way, and the place stays taken.
            let limited = office.caller(.manager, limits: ["leads": try await office.count("/v1/leads")])
            try await office.send(.post, "/v1/leads/\(other)/convert", as: limited, headers: [("if-match", "\"1\"")], expecting: 200)
            #expect(try await office.send(.post, "/v1/leads", ["last_name": "B"], as: limited, expecting: 403).code == "plan_limit_reached")
        }
    }

    /// Goal: an account that is deleted at the same moment is taken or refused, and nothing is half done.
    @Test func anAccountThatIsDeletedMeanwhileIsTakenOrRefused() async throws {
        try await Office.run { office in
            var refusals = 0
            for _ in 0..<20 {
                let id = try await office.make("/v1/leads", Self.lead)
                let account = try await office.make("/v1/accounts", ["name": "A"])
                async let deletion = office.send(.delete, "/v1/accounts/\(account)", expecting: 204)
                let answer = try await office.send(.post, "/v1/leads/\(id)/convert", ["account": .string(account)])
                _ = try await deletion
                let lead = try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json
                if answer.status == 200 {
                    #expect(lead["converted_account_id"]?.string == account)
                } else {
                    refusals += 1
                    #expect(answer.status == 422 && answer.code == "reference_not_found", "\(answer.text)")
                    #expect(lead["version"] == 1 && lead["converted_contact_id"] == .null)
                }
            }
            #expect(try await office.count("/v1/contacts") == 20 - refusals)
        }
    }

    @Test func whatIsThereAlreadyIsOffered() async throws {
        try await Office.run { office in
            let id = try await office.make("/v1/leads", Self.lead)
            let account = try await office.make("/v1/accounts", ["name": "There", "domain": "kestrel.example"])
            let contact = try await office.make("/v1/contacts", ["last_name": "There", "email": "N.Okafor@mail.kestrel.example"])
            _ = try await office.make("/v1/contacts", ["last_name": "Else", "email": "x@kestrel.example"])
            let gone = try await office.make("/v1/accounts", ["name": "Gone", "domain": "kestrel.example"])
            try await office.send(.delete, "/v1/accounts/\(gone)", expecting: 204)
            let foreign = AccountTests.member(.tenantAdmin)
            try await office.send(.post, "/v1/accounts", ["name": "Foreign", "domain": "kestrel.example"], as: foreign, expecting: 201)
            let path = "/v1/leads/\(id)/conversion"
            let offer = try await office.send(.get, path, expecting: 200).json
            #expect(offer["converted"] == .null)
            #expect(offer["account"]?["matches"]?.array?.map { $0["id"]?.string } == [account])
            #expect(offer["contact"]?["matches"]?.array?.map { $0["id"]?.string } == [contact])
            #expect(
                offer["account"]?["values"]?["name"] == "Kestrel Freight" && offer["account"]?["values"]?["domain"] == "kestrel.example")
            #expect(
                offer["contact"]?["values"]?["custom"] == ["tier": "gold"] && offer["contact"]?["values"]?["phone_e164"] == "+49405550101")
            try await office.send(.get, path, as: foreign, expecting: 404)
            // Whoever does not see the address learns nothing by it, nor does who reads none of them.
            let blind = office.caller(.readOnly) { $0.fields = FieldRules(["leads": ["email": .hidden]]) }
            let told = try await office.send(.get, path, as: blind, expecting: 200).json
            #expect(told["contact"]?["matches"] == [] && told["contact"]?["values"]?["email"] == nil)
            #expect(told["account"]?["matches"]?.array?.count == 1)
            let narrow = office.caller(.readOnly) { context in
                context.permissions = PermissionSet(context.permissions.permissions.filter { $0.resource != .accounts })
                context.scopes[.contacts] = .own
            }
            let little = try await office.send(.get, path, as: narrow, expecting: 200).json
            #expect(little["account"]?["matches"] == [] && little["contact"]?["matches"] == [])
        }
    }

    @Test func aDealIsMadeWhereOneIsWanted() async throws {
        try await Office.run { office in
            let id = try await office.make("/v1/leads", Self.lead)
            let path = "/v1/leads/\(id)/convert"
            for (body, faults) in [
                (["deal": "x"], ["/deal invalid_type"]),
                (["deal": ["amount_minor": -1, "nme": 1]], ["/deal/amount_minor out_of_range", "/deal/nme unknown_member"]),
                (["deal": ["account_id": nil, "contact_id": nil]], ["/deal/account_id not_allowed", "/deal/contact_id not_allowed"]),
            ] as [(JSON, [String])] {
                let answer = try await office.send(.post, path, body)
                let found = (answer.json["errors"]?.array ?? []).map { "\($0["pointer"]?.string ?? "") \($0["code"]?.string ?? "")" }
                    .sorted()
                #expect(found == faults, "\(answer.text)")
            }
            #expect(
                try await office.send(.get, "/v1/leads/\(id)/conversion", expecting: 200).json["deal"]?["values"]?["name"]
                    == "Kestrel Freight")
            let made = try await office.send(
                .post, path, ["deal": ["amount_minor": 480_000, "currency": "EUR"]], headers: [("idempotency-key", "deal")], expecting: 200)
            let deal = made.json["deal"]
            #expect(deal?["name"] == "Kestrel Freight" && deal?["amount_minor"] == 480_000 && deal?["status"] == "open", "\(made.text)")
            #expect(deal?["account_id"] == made.json["account"]?["id"] && deal?["contact_id"] == made.json["contact"]?["id"])
            #expect(deal?["owner_id"] == made.json["lead"]?["owner_id"] && made.json["lead"]?["converted_deal_id"] == deal?["id"])
            let dealPath = "/v1/deals/\(deal?["id"]?.string ?? "")"
            #expect(try await office.send(.get, dealPath, expecting: 200).json == deal)
            let replayed = try await office.send(
                .post, path, ["deal": ["amount_minor": 480_000, "currency": "EUR"]], headers: [("idempotency-key", "deal")], expecting: 200)
            #expect(replayed.text == made.text)
            #expect(try await office.send(.post, path, expecting: 409).json["converted_deal_id"] == deal?["id"])
            // What has become of the deal stands in the way of undoing it.
            try await office.send(.patch, dealPath, ["expected_close_on": "2026-12-31"], expecting: 200)
            #expect(try await office.send(.delete, "/v1/leads/\(id)/conversion", expecting: 409).json["changed"] == ["deal"])
            let person = try await office.make("/v1/leads", ["first_name": "Ngozi", "last_name": "Okafor"])
            let plain = try await office.send(.post, "/v1/leads/\(person)/convert", ["deal": .object(JSONObject())], expecting: 200)
            #expect(plain.json["deal"]?["name"] == "Ngozi Okafor" && plain.json["account"] == .null)
            let plainPath = "/v1/deals/\(plain.json["deal"]?["id"]?.string ?? "")"
            let note = try await office.make(
                "/v1/notes", ["body": "New", "related": ["type": "deal", "id": plain.json["deal"]?["id"] ?? .null]])
            try await office.send(.delete, "/v1/leads/\(person)/conversion", expecting: 204)
            try await office.send(.get, plainPath, expecting: 404)
            #expect(try await office.send(.get, "/v1/notes/\(note)", expecting: 200).json["related"]?["id"]?.string == person)
            #expect(try await office.send(.get, "/v1/leads/\(person)", expecting: 200).json["converted_deal_id"] == .null)
        }
    }

    @Test func aConversionIsUndoneWhileNothingWasChanged() async throws {
        try await Office.run { office in
            let id = try await office.make("/v1/leads", Self.lead)
            let path = "/v1/leads/\(id)/conversion"
            #expect(try await office.send(.delete, path, expecting: 409).json["detail"] == "The lead is not converted.")
            let note = try await office.make("/v1/notes", ["body": "Before", "related": ["type": "lead", "id": .string(id)]])
            let task = try await office.make("/v1/tasks", ["subject": "Ring", "related": ["type": "lead", "id": .string(id)]])
            let before = try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json
            let made = try await office.send(.post, "/v1/leads/\(id)/convert", expecting: 200).json
            let (account, contact) = (made["account"]?["id"]?.string ?? "", made["contact"]?["id"]?.string ?? "")
            let later = try await office.make("/v1/notes", ["body": "After", "related": ["type": "contact", "id": .string(contact)]])
            try await office.send(.delete, path, as: office.caller(.readOnly), expecting: 403)
            try await office.send(.delete, path, as: AccountTests.member(.tenantAdmin), expecting: 404)
            let narrow = office.caller(.manager) { $0.scopes[.contacts] = .own }
            try await office.send(.delete, path, as: narrow, expecting: 403)
            try await office.send(.delete, path, headers: [("if-match", "\"1\"")], expecting: 412)
            let events = try await office.events().count
            for _ in 0..<2 { try await office.send(.delete, path, headers: [("idempotency-key", "undo")], expecting: 204) }
            #expect(
                try await office.events(from: events).sorted() == [
                    "account.deleted", "contact.deleted", "lead.updated", "note.updated", "note.updated", "task.updated",
                ])
            let after = try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json
            for name in before.object?.names ?? [] where !["version", "updated_at"].contains(name) {
                #expect(after[name] == before[name], "\(name)")
            }
            #expect(after["version"] == 3)
            try await office.send(.get, "/v1/accounts/\(account)", expecting: 404)
            try await office.send(.get, "/v1/contacts/\(contact)", expecting: 404)
            for path in ["/v1/notes/\(note)", "/v1/notes/\(later)", "/v1/tasks/\(task)"] {
                #expect(try await office.send(.get, path, expecting: 200).json["related"] == ["type": "lead", "id": .string(id)])
            }
            // What was changed, or is in use, stands in the way and is named.
            let again = try await office.send(.post, "/v1/leads/\(id)/convert", expecting: 200).json
            let second = try await office.make("/v1/contacts", ["last_name": "B", "account_id": again["account"]?["id"] ?? .null])
            let used = try await office.send(.delete, path, expecting: 409)
            #expect(used.code == "conflict" && used.json["changed"] == ["account"], "\(used.text)")
            try await office.send(.delete, "/v1/contacts/\(second)", expecting: 204)
            let changed = "/v1/contacts/\(again["contact"]?["id"]?.string ?? "")"
            try await office.send(.patch, changed, ["title": "CEO"], expecting: 200)
            #expect(try await office.send(.delete, path, expecting: 409).json["changed"] == ["contact"])
            #expect(try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json["status"] == "converted")
            // What was given stays.
            let other = try await office.make("/v1/leads", Self.lead)
            try await office.send(.post, "/v1/leads/\(other)/convert", ["contact": again["contact"]?["id"] ?? .null], expecting: 200)
            try await office.send(.delete, "/v1/leads/\(other)/conversion", expecting: 204)
            try await office.send(.get, changed, expecting: 200)
        }
    }

    /// What is given by an id that another record has taken over is refused and named; what a lead became follows merges, and its notes come back
    /// from there.
    @Test func conversionsKnowWhatHasBecomeAnotherRecord() async throws {
        try await Office.run { office in
            func pair(_ path: String, _ body: JSON) async throws -> (kept: String, gone: String) {
                let (kept, gone) = (try await office.make(path, body), try await office.make(path, body))
                try await office.send(.post, "\(path)/\(kept)/merge", ["from": [.string(gone)]], expecting: 200)
                return (kept, gone)
            }
            let id = try await office.make("/v1/leads", Self.lead)
            for (name, body) in [("account", ["name": "A"]), ("contact", ["last_name": "C"])] as [(String, JSON)] {
                let (kept, gone) = try await pair("/v1/\(name)s", body)
                let given: JSON = [name: .string(gone)]
                let answer = try await office.send(.post, "/v1/leads/\(id)/convert", given, expecting: 409)
                #expect(answer.code == "merged" && answer.json["id"]?.string == kept, "\(answer.text)")
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == "/\(name)")
                let stranger = office.caller(.manager) { $0.scopes[name == "account" ? .accounts : .contacts] = .own }
                let unseen = try await office.send(.post, "/v1/leads/\(id)/convert", given, as: stranger, expecting: 422)
                #expect(unseen.code == "reference_not_found", "\(unseen.text)")
            }
            let (kept, gone) = try await pair("/v1/leads", ["last_name": "L"])
            for (method, path) in [(.post, "convert"), (.delete, "conversion")] as [(Core.Method, String)] {
                let answer = try await office.send(method, "/v1/leads/\(gone)/\(path)", expecting: 409)
                #expect(answer.code == "merged" && answer.json["id"]?.string == kept, "\(answer.text)")
            }
            // The client of the tests would follow it.
            let target = "/v1/leads/\(gone)/conversion"
            let context = office.service.signed(office.admin, "GET", target)
            let moved = try await RawExchange.send(
                "GET \(target) HTTP/1.1\r\nhost: crm\r\n\(ContextSigner.headerName): \(context)\r\nconnection: close\r\n\r\n",
                port: office.service.port)
            #expect(
                moved.hasPrefix("HTTP/1.1 301") && moved.lowercased().contains("location: /v1/leads/\(kept)/conversion\r\n"), "\(moved)")

            let note = try await office.make("/v1/notes", ["body": "Before", "related": ["type": "lead", "id": .string(id)]])
            let (first, last) = (
                try await office.make("/v1/contacts", ["last_name": "First"]), try await office.make("/v1/contacts", ["last_name": "Last"])
            )
            try await office.send(.post, "/v1/leads/\(id)/convert", ["contact": .string(first)], expecting: 200)
            try await office.send(.post, "/v1/contacts/\(last)/merge", ["from": [.string(first)]], expecting: 200)
            let lead = try await office.send(.get, "/v1/leads/\(id)", expecting: 200).json
            #expect(lead["converted_contact_id"]?.string == last, "\(lead)")
            let offer = try await office.send(.get, "/v1/leads/\(id)/conversion", expecting: 200).json
            #expect(offer["converted"]?["contact_id"]?.string == last)
            // One that the merge had no room for, and one that is about the contact itself.
            let late = try await office.make("/v1/notes", ["body": "Its own", "related": ["type": "contact", "id": .string(last)]])
            try await office.database.query(
                in: .crm,
                [
                    """
                    update note set version = version + 1, updated_at = now(), related = row('contact', \(first)::uuid)::record_reference \
                    where id = any(\([note, late])::uuid[])
                    """
                ])
            try await office.send(.delete, "/v1/leads/\(id)/conversion", expecting: 204)
            let back = try await office.send(.get, "/v1/notes/\(note)", expecting: 200).json
            #expect(back["related"] == ["type": "lead", "id": .string(id)], "\(back)")
            let own = try await office.send(.get, "/v1/notes/\(late)", expecting: 200).json
            #expect(own["related"]?["type"] == "contact", "\(own)")
            try await office.send(.get, "/v1/contacts/\(last)", expecting: 200)
            // What it made and was merged is not taken back with what it became.
            let made = try await office.send(.post, "/v1/leads/\(id)/convert", ["account": nil], expecting: 200).json
            try await office.send(.post, "/v1/contacts/\(last)/merge", ["from": [made["contact"]?["id"] ?? .null]], expecting: 200)
            let refused = try await office.send(.delete, "/v1/leads/\(id)/conversion", expecting: 409)
            #expect(refused.json["changed"] == ["contact"], "\(refused.text)")
            try await office.send(.get, "/v1/contacts/\(last)", expecting: 200)
        }
    }
}
