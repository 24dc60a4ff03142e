import Core
import Postgres
import Resources

/// What an account, a contact and a deal have of the lead that they are made of, as expressions on its row: the fields that the caller may know.
enum ConversionValues {
    static func account(of lead: ResourcePart) -> [String: SQL] {
        var values = values([("name", "company"), ("website", "website"), ("address", "address"), ("owner_id", "owner_id")], of: lead)
        if lead.shows("website") || lead.shows("email") { values["domain"] = domain(of: lead) }
        return values
    }

    static func contact(of lead: ResourcePart) -> [String: SQL] {
        let own = [
            "first_name", "last_name", "title", "email", "phone", "phone_e164", "owner_id", "tags", "address", "custom",
        ]
        return values(own.map { ($0, $0) }, of: lead)
    }

    /// Called by the company, or else by the person.
    static func deal(of lead: ResourcePart) -> [String: SQL] {
        var values = values([("owner_id", "owner_id")], of: lead)
        func value(_ field: String) -> SQL { lead.shows(field) ? "lead.\(unescaped: field)" : "null::text" }
        let person: SQL = "concat_ws(' ', \(value("first_name")), \(value("last_name")))"
        values["name"] = "nullif(left(case when \(value("company")) is not null then \(value("company")) else \(person) end, 200), '')"
        return values
    }

    /// By the website, or else by the e-mail address, unless anybody may have a place there.
    static func domain(of lead: ResourcePart) -> SQL {
        func value(_ field: String) -> SQL { lead.shows(field) ? "lead.\(unescaped: field)" : "null::text" }
        return "company_domain(\(value("website")), \(value("email")), \(SharedHosts.all)::text[])"
    }

    private static func values(_ pairs: [(String, String)], of lead: ResourcePart) -> [String: SQL] {
        Dictionary(uniqueKeysWithValues: pairs.filter { lead.shows($0.1) }.map { ($0.0, "lead.\(unescaped: $0.1)") })
    }
}

/// What a conversion is to make of a lead, read from its body.
struct ConversionRequest {
    enum Choice {
        case none
        /// It is there.
        case given(RecordID)
        case made(RecordDraft)

        var isMade: Bool { if case .made = self { true } else { false } }
    }

    let lead: ResourcePart
    let account: ResourcePart
    let contact: ResourcePart
    let deal: ResourcePart
    private(set) var accountChoice = Choice.none
    private(set) var contactChoice = Choice.none
    private(set) var dealChoice = Choice.none
    /// Whether an account is made only if the lead names a company.
    private var isAccountOptional = false

    init(lead: ResourcePart, account: ResourcePart, contact: ResourcePart, deal: ResourcePart) {
        self.lead = lead
        self.account = account
        self.contact = contact
        self.deal = deal
    }

    /// - Throws: ``Problem`` with every fault, or `forbidden`.
    mutating func read(_ json: JSON) throws(Problem) {
        var faults = FaultList()
        guard let object = faults.members(of: json, at: "", known: ["account", "contact", "deal"]) else { return try faults.finish() }
        let nothing = JSON.object(JSONObject())
        if object["contact"] == .null {
            faults.add(.notNullable, at: "/contact", "A lead becomes a contact: leave it out, or give one.")
        } else {
            var values = ConversionValues.contact(of: lead)
            values["account_id"] = "lead.converted_account_id"
            let body = object["contact"] ?? nothing
            if body["account_id"] != nil {
                faults.add(.notAllowed, at: "/contact/account_id", "It is the account of the conversion: say it as account.")
            }
            contactChoice = try Self.choice("contact", body, contact, values, &faults)
        }
        let values = ConversionValues.account(of: lead)
        if case .given = contactChoice {
            if let given = object["account"], given != .null {
                faults.add(.notAllowed, at: "/account", "A contact that is there stays as it is, with its account: leave account out.")
            }
        } else if let given = object["account"] {
            if given != .null { accountChoice = try Self.choice("account", given, account, values, &faults) }
        } else if values["name"] != nil {
            isAccountOptional = true
            accountChoice = try Self.choice("account", nothing, account, values, &faults)
        }
        if let given = object["deal"], given != .null {
            var values = ConversionValues.deal(of: lead)
            values["account_id"] = "lead.converted_account_id"
            values["contact_id"] = "lead.converted_contact_id"
            for name in ["account_id", "contact_id"] where given[name] != nil {
                faults.add(.notAllowed, at: "/deal/\(name)", "It is that of the conversion: say it as \(name.dropLast(3)).")
            }
            if given.object == nil {
                faults.add(.type("an object", given), at: "/deal")
            } else {
                dealChoice = try Self.choice("deal", given, deal, values, &faults)
            }
        }
        try faults.finish()
    }

    private static func choice(
        _ name: String, _ json: JSON, _ part: ResourcePart, _ values: [String: SQL], _ faults: inout FaultList
    ) throws(Problem) -> Choice {
        switch json {
        case .string(let text):
            try part.require(.read)
            if let id = RecordID(text) { return .given(id) }
            faults.add(.format("an id (UUID), or an object"), at: "/\(name)")
        case .object:
            try part.require(.create)
            do throws(Problem) {
                return .made(try part.draft(json, inheriting: values, at: "/\(name)"))
            } catch {
                for fault in error.faults { faults.add(fault.code, at: fault.pointer, fault.detail) }
            }
        default: faults.add(.type("an id or an object", json), at: "/\(name)")
        }
        return .none
    }

    private var choices: [(name: String, part: ResourcePart, choice: Choice)] {
        [("account", account, accountChoice), ("contact", contact, contactChoice), ("deal", deal, dealChoice)]
    }

    var drafts: [RecordDraft] {
        choices.compactMap { if case .made(let draft) = $0.choice { draft } else { nil } }
    }

    var locks: [SQL] {
        choices.compactMap { if case .made(let draft) = $0.choice { $0.part.locks(of: draft) } else { nil } }
    }

    /// What the conversion is held to beside the lead's own state.
    var demands: [Demand] {
        var demands = choices.flatMap { name, part, choice -> [Demand] in
            switch choice {
            case .none: []
            case .given(let id): [part.demand(id, at: "/\(name)")]
            case .made(let draft): part.demands(of: draft)
            }
        }
        if case .made(let draft) = accountChoice, draft.inherits("name"), !isAccountOptional {
            let detail = "The lead names no company: the account needs a name."
            demands.append(
                Demand("lead.company is not null", otherwise: .invalid([.init(pointer: "/account/name", code: .required, detail: detail)])))
        }
        if case .made(let draft) = dealChoice, draft.inherits("name"), let name = ConversionValues.deal(of: lead)["name"] {
            let detail = "Nothing that you see of the lead names a deal: it needs a name."
            demands.append(
                Demand(name + " is not null", otherwise: .invalid([.init(pointer: "/deal/name", code: .required, detail: detail)])))
        }
        return demands
    }

    /// The account's id, as an expression on the lead's row.
    func accountID(as context: RequestContext) -> SQL {
        if case .given(let contact) = contactChoice {
            // That account may have been deleted, which a contact keeps.
            return """
                (select given.account_id from contact as given join account on account.tenant_id = given.tenant_id \
                and account.id = given.account_id and account.deleted_at is null \
                where given.tenant_id = \(context.tenant) and given.id = \(contact))
                """
        }
        switch accountChoice {
        case .none: return "null::uuid"
        case .given(let id): return "\(id)::uuid"
        case .made(let draft): return isAccountOptional ? "case when company is not null then \(draft.id)::uuid end" : "\(draft.id)::uuid"
        }
    }

    var contactID: SQL {
        switch contactChoice {
        // What has no contact was refused.
        case .none: "null::uuid"
        case .given(let id): "\(id)::uuid"
        case .made(let draft): "\(draft.id)::uuid"
        }
    }

    var dealID: SQL { if case .made(let draft) = dealChoice { "\(draft.id)::uuid" } else { "null::uuid" } }

    /// The refusal where it is of a record that was given and has become another one; `nil` otherwise.
    func merged(_ refusal: Problem) async throws -> Problem? {
        for case (let name, let part, .given(let id)) in choices where refusal.faults.contains(where: { $0.pointer == "/\(name)" }) {
            if let problem = try await part.merged(id, at: "/\(name)") { return problem }
        }
        return nil
    }

    /// What a failure of the database means; `nil` when it is about none of what is made.
    func problem(for error: PostgresError) async throws -> Problem? {
        for case (_, let part, .made(let draft)) in choices {
            if let problem = try await part.problem(for: error, of: draft) { return problem }
        }
        return nil
    }
}
