import Core
import Postgres
import Resources

/// A lead becomes a contact, an account where it names a company, and a deal if that is wanted (Shared/Decisions/0033).
///
/// All of it is one statement, behind a lock of the lead: so of any number of requests one converts it, and all that it makes is there or
/// none of it.
struct LeadConversion: Sendable {
    let leads: Resource
    let accounts: Resource
    let contacts: Resource
    let deals: Resource
    let postgres: PostgresClient

    var routes: [Route] { [convert, offer, undo] }

    /// What is about a lead and goes along: the tables and what they hold.
    static let companions = [(table: "note", plural: "notes"), (table: "task", plural: "tasks")]

    /// The most of each of them: no request writes without bound.
    static let maximumCompanions = 1000

    // MARK: Converting

    private var convert: Route {
        .permitted(Permission(.leads, .update), .post, "/v1/leads/{id}/convert", LeadConversionDocuments.convert) { call, context in
            try call.query.allowOnly([])
            let id: RecordID = try call.id()
            let json = call.body.isEmpty ? JSON.object(JSONObject()) : try call.json()
            let (key, precondition) = (try IdempotencyKey(call, body: json), try Precondition(call, tagsHashBody: true))
            let lead = leads.part(for: context)
            try LeadStatus.require(of: context)
            var request = ConversionRequest(
                lead: lead, account: accounts.part(for: context), contact: contacts.part(for: context),
                deal: deals.part(for: context))
            try request.read(json)
            return try await convert(id, request, precondition, key, as: context)
        }
    }

    private func convert(
        _ id: RecordID, _ request: ConversionRequest, _ precondition: Precondition, _ key: IdempotencyKey?, as context: RequestContext
    ) async throws -> Reply {
        let conversion = RecordID()
        let done: SQL = "lead_conversion where tenant_id = \(context.tenant) and lead_id = \(id) and id = \(conversion)"
        func became(_ name: String) -> SQL {
            """
            (select converted_\(unescaped: name)_id from lead where tenant_id = \(context.tenant) and id = \(id) \
            and exists (select from \(done)))
            """
        }
        // That of a contact who is there may be none of the caller's to read.
        var accountID = became("account")
        if case .given = request.contactChoice { accountID = request.account.readable(accountID) }
        let answer = RecordsAnswer(
            .init("lead", request.lead, id: "(select lead_id from \(done))"),
            .init("account", request.account, id: accountID),
            .init("contact", request.contact, id: became("contact")),
            .init("deal", request.deal, id: became("deal")))
        let before = request.locks + [request.lead.lock(id)]
        let demands = request.demands + Self.companionDemands(of: id, as: context)
        let writing = writing(id, request, precondition, demands, conversion, as: context)
        let kept = key.map { [answer.insertion(of: $0, as: context, from: done)] } ?? []
        return try await answer.guarding(key, request.drafts, as: context) {
            for attempt in 1... {
                do {
                    let results = try await postgres.batch(as: context, before + [writing] + answer.statements + kept)
                    if !results[before.count].isEmpty { return answer.reply(results.dropFirst(before.count + 1)) }
                    if let problem = try await problem(of: id, request, precondition, demands, as: context) { throw problem }
                } catch let error as PostgresError where error.isDeadlock && attempt < 4 {
                    // Nothing of it was kept, and what it waited for has gone on meanwhile.
                } catch let error as PostgresError {
                    throw try await request.problem(for: error) ?? error.problem
                }
                // As wanted by now, and not when it was tried.
                if attempt >= 4 { break }
            }
            throw Problem.raced
        }
    }

    /// The one statement; a row when it has done it.
    private func writing(
        _ id: RecordID, _ request: ConversionRequest, _ precondition: Precondition, _ demands: [Demand], _ conversion: RecordID,
        as context: RequestContext
    ) -> SQL {
        let contact = request.contactID
        let moved = SQL.joined(Self.companions.map { "select id from moved_\(unescaped: $0.table)" }, separator: " union all ")
        var parts: [SQL] = [
            "before (previous_status) as (select status from lead where tenant_id = \(context.tenant) and id = \(id))",
            """
            converted as (update lead set version = version + 1, updated_at = now(), updated_by = \(context.user), status = 'converted', \
            converted_at = now(), converted_account_id = \(request.accountID(as: context)), converted_contact_id = \(contact), \
            converted_deal_id = \(request.dealID) \
            where \(Self.target(id, precondition, request.lead, as: context)) and status <> 'converted'\(demands.conditions) returning *)
            """,
        ]
        for (table, _) in Self.companions {
            parts.append(
                """
                moved_\(unescaped: table) as (update \(unescaped: table) set version = version + 1, updated_at = now(), \
                updated_by = \(context.user), related = row('contact', \(contact)::uuid)::record_reference \
                where tenant_id = \(context.tenant) and (related).id = \(id) and (related).type = 'lead' and deleted_at is null \
                and exists (select from converted) returning id)
                """)
        }
        parts.append(
            """
            noted as (insert into lead_conversion \
            (tenant_id, lead_id, id, previous_status, made_account_id, made_contact_id, made_deal_id, moved_ids) \
            select tenant_id, id, \(conversion), previous_status, \(Self.made("account", request.accountChoice)), \
            \(Self.made("contact", request.contactChoice)), \(Self.made("deal", request.dealChoice)), array(\(moved)) \
            from converted, before)
            """)
        if case .made(let draft) = request.accountChoice {
            parts.append(
                "account_made as (\(request.account.insertion(draft, from: "converted as lead", where: "converted_account_id is not null")))"
            )
        }
        if case .made(let draft) = request.contactChoice {
            parts.append("contact_made as (\(request.contact.insertion(draft, from: "converted as lead")))")
        }
        if case .made(let draft) = request.dealChoice {
            parts.append("deal_made as (\(request.deal.insertion(draft, from: "converted as lead")))")
        }
        return "with " + SQL.joined(parts, separator: ", ") + " select 1 from converted"
    }

    /// The id of what is made; null where it is given.
    private static func made(_ name: String, _ choice: ConversionRequest.Choice) -> SQL {
        choice.isMade ? "converted_\(unescaped: name)_id" : "null::uuid"
    }

    private static func target(_ id: RecordID, _ precondition: Precondition, _ lead: ResourcePart, as context: RequestContext) -> SQL {
        var sql: SQL = "lead.tenant_id = \(context.tenant) and lead.id = \(id) and lead.deleted_at is null" + lead.scope
        if case .versions(let versions) = precondition { sql += " and lead.version = any(\(versions))" }
        return sql
    }

    private static func companionDemands(of id: RecordID, as context: RequestContext) -> [Demand] {
        companions.map { table, plural in
            Demand(
                """
                (select count(*) from (select from \(unescaped: table) as other where other.tenant_id = \(context.tenant) \
                and (other.related).id = \(id) and (other.related).type = 'lead' and other.deleted_at is null \
                limit \(unescaped: String(maximumCompanions + 1))) as counted) <= \(unescaped: String(maximumCompanions))
                """,
                otherwise: Problem(
                    .conflict, "There are more than \(maximumCompanions) \(plural) about the lead, and so many at most go along."))
        }
    }

    /// Why nothing was converted; `nil` when all holds by now.
    private func problem(
        of id: RecordID, _ request: ConversionRequest, _ precondition: Precondition, _ demands: [Demand], as context: RequestContext
    ) async throws -> Problem? {
        let lead = request.lead
        let question: SQL = """
            select version, status = 'converted', converted_account_id, converted_contact_id, converted_deal_id\(demands.questions) \
            from lead where \(Self.target(id, .none, lead, as: context))
            """
        guard let row = try await postgres.batch(as: context, [question])[0].first else { return try await lead.merged(id) ?? .notFound }
        try precondition.check(try row.decode(0))
        guard try row.decode(1) else {
            guard let refusal = try demands.refusal(row, from: 5) else { return nil }
            return try await request.merged(refusal) ?? refusal
        }
        let became = ["converted_account_id", "converted_contact_id", "converted_deal_id"].enumerated().filter { lead.shows($0.element) }
        return Problem(
            .conflict, "The lead is converted already.",
            members: became.map { ($0.element, row.text(2 + $0.offset).map(JSON.string) ?? .null) })
    }

    // MARK: What it would become, or became

    private var offer: Route {
        .permitted(Permission(.leads, .read), .get, "/v1/leads/{id}/conversion", LeadConversionDocuments.offer) { call, context in
            try call.query.allowOnly([])
            let id: RecordID = try call.id()
            return try await leads.part(for: context).following(id, to: "/conversion") { try await offer(of: id, as: context) }
        }
    }

    private func offer(of id: RecordID, as context: RequestContext) async throws -> Reply {
        let (lead, account, contact) = (leads.part(for: context), accounts.part(for: context), contacts.part(for: context))
        let ofDeal = deals.part(for: context).preview(ConversionValues.deal(of: lead))
        let (ofAccount, ofContact) = (
            account.preview(ConversionValues.account(of: lead)), contact.preview(ConversionValues.contact(of: lead))
        )
        let from: SQL = " from lead where " + Self.target(id, .none, lead, as: context)
        let columns: [SQL] =
            [
                "case when status = 'converted' then rfc3339(converted_at) end", "converted_account_id", "converted_contact_id",
                "converted_deal_id",
            ]
            + ofAccount.selection + ofContact.selection + ofDeal.selection
        var statements: [SQL] = ["select " + SQL.joined(columns, separator: ", ") + from]
        // Where the caller may not know a value, nothing is found by it.
        let finds: [(part: ResourcePart, field: String, value: SQL)] = [
            (account, "domain", ConversionValues.domain(of: lead)),
            (contact, "email", lead.shows("email") ? "lead.email" : "null::text"),
        ]
        for (part, field, value) in finds where part.shows(field) && part.canRead {
            statements.append(part.matches(field, "select " + value + from, limit: Self.maximumMatches))
        }
        let results = try await postgres.batch(as: context, statements)
        guard let row = results[0].first else { throw Problem.notFound }
        var matches = results.dropFirst()
        let found = finds.map { part, field, _ in
            part.shows(field) && part.canRead ? matches.popFirst().map(part.array) ?? [] : Array("[]".utf8)
        }
        var body = Array("{\"converted\":".utf8)
        body += JSON(converted: row, lead).bytes
        for (name, values, records) in [
            ("account", ofAccount.object(row, from: 4), found[0]),
            ("contact", ofContact.object(row, from: 4 + ofAccount.selection.count), found[1]),
        ] {
            body += ",\"\(name)\":{\"values\":".utf8 + values + ",\"matches\":".utf8 + records + "}".utf8
        }
        let deal = ofDeal.object(row, from: 4 + ofAccount.selection.count + ofContact.selection.count)
        return .json(body + ",\"deal\":{\"values\":".utf8 + deal + "}}".utf8)
    }

    /// The most records of a kind that are offered.
    static let maximumMatches = 10

    // MARK: Undoing it

    private var undo: Route {
        .permitted(Permission(.leads, .update), .delete, "/v1/leads/{id}/conversion", LeadConversionDocuments.undo) { call, context in
            try call.query.allowOnly([])
            try call.refuseBody()
            let id: RecordID = try call.id()
            let (key, precondition) = (try IdempotencyKey(call), try Precondition(call, tagsHashBody: true))
            try LeadStatus.require(of: context)
            let undoing = ConversionUndo(
                lead: id, scope: leads.part(for: context).scope,
                made: [.init("account", accounts, context), .init("contact", contacts, context), .init("deal", deals, context)],
                context: context)
            return try await IdempotencyKey.guarding(key, as: context, on: postgres) {
                do {
                    let lock = leads.part(for: context).lock(id)
                    let batch = [lock] + undoing.locks + [undoing.writing(precondition, key)]
                    if try await !postgres.batch(as: context, batch).last!.isEmpty { return .noContent }
                    let answer = try await postgres.batch(as: context, [undoing.question])[0]
                    guard let row = answer.first else { throw try await leads.part(for: context).merged(id) ?? .notFound }
                    try precondition.check(try row.decode(0))
                    throw try undoing.refusal(row)
                } catch let error as PostgresError {
                    throw error.problem
                }
            }
        }
    }
}

/// Whether the caller's role may have a lead come to another state.
private enum LeadStatus {
    static func require(of context: RequestContext) throws(Problem) {
        guard context.fields["leads"]["status"] != nil else { return }
        throw Problem(.forbidden, "Your role does not change the status of leads.")
    }
}

extension ResourcePart {
    /// Whether the caller may read the resource's records.
    fileprivate var canRead: Bool { (try? require(.read)) != nil }
}

extension JSON {
    /// What a lead became, by a row that begins with when, and the ids of account, contact and deal; null for one that is not converted.
    fileprivate init(converted row: PostgresRow, _ lead: ResourcePart) {
        guard lead.shows("status"), let instant = row.text(0) else {
            self = .null
            return
        }
        func id(_ column: Int, _ field: String) -> JSON { lead.shows(field) ? row.text(column).map(JSON.string) ?? .null : .null }
        self = [
            "at": .string(instant), "account_id": id(1, "converted_account_id"), "contact_id": id(2, "converted_contact_id"),
            "deal_id": id(3, "converted_deal_id"),
        ]
    }
}
