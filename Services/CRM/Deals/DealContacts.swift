import Contracts
import Core
import Postgres
import Resources

/// The contacts of a deal, each with a role: its main one, which is the deal's `contact_id`, and those that are linked to it (Shared/Decisions/0029).
struct DealContacts: Sendable {
    /// Contacts that can be linked to a deal; the table holds it to that.
    static let maximumCount = 100
    private static let maximumRole = 100

    let deals: Resource
    let contacts: Resource
    let postgres: PostgresClient
    let cursors: CursorSigner

    var routes: [Route] { [list, put, delete, deals.list(of: contacts, by: "contact_id", orIn: Self.links)] }

    /// The deals that a contact is linked to.
    private static let links = LinkTable("deal_contact", from: "contact_id", to: "deal_id")

    private static let path = "\(Deal.definition.path)/{id}/contacts"
    private static let onePath = "\(path)/{contact_id}"

    private static let text = """
        The contacts of a deal are its main one, which is contact_id of the deal, and those that are linked to it. The main one needs no link; a link \
        gives it a role. At most \(maximumCount) contacts are linked to a deal, deleted ones among them.
        """

    // MARK: Reading

    private var list: Route {
        .permitted(
            Permission(.deals, .read), .get, Self.path,
            Operation(
                id: "listDealContacts", summary: "The contacts of a deal",
                description: """
                    The main one first, then in the order in which they were linked; none that is deleted. \(Self.text)
                    """, tag: "deals", parameters: Paging.parameters,
                responses: [.init(200, "The contacts.", schema: Paging.schema(of: Self.schema(withContact: true)))])
        ) { call, context in
            let id: RecordID = try call.id()
            let paging = try Paging(call, of: ["deal contacts", context.tenant.description, id.description], cursors: cursors)
            let position = try paging.position { $0.string.flatMap { RecordID($0) } }
            try refuseHidden(context)
            let query = query(of: id, behind: position, limit: paging.limit + 1, as: context)
            let rows = try await run([query], as: context)[0]
            if rows.isEmpty { throw Problem.notFound }
            // A deal without contacts gives a row without one.
            let found = try rows.compactMap { row in
                try row.decode("body", as: JSON?.self).map { ($0, try row.decode("place", as: String.self)) }
            }
            return paging.reply(found, position: { .string($0.1) }, json: \.0)
        }
    }

    private func query(of id: RecordID, behind position: RecordID?, limit: Int, as context: RequestContext) -> SQL {
        let part = contacts.part(for: context)
        let shown = ["first_name", "last_name", "email"].filter(part.shows)
        let names = shown.map { ", '\($0)', person.\($0)" }.joined()
        let rest: SQL = position.map { " where not is_main and place > \($0)" } ?? ""
        return """
            with found as (select id, contact_id from deal where \(deals.condition(on: id, as: context))), \
            links as (select * from deal_contact where tenant_id = \(context.tenant) and deal_id = (select id from found)), \
            people as (\
            select links.id, version, found.id as deal_id, found.contact_id, role, true as is_main, created_at, updated_at, created_by, updated_by, \
            '\(unescaped: Self.first)'::uuid as place from found left join links on links.contact_id = found.contact_id \
            where found.contact_id is not null \
            union all select id, version, deal_id, contact_id, role, false, created_at, updated_at, created_by, updated_by, id from links \
            where contact_id is distinct from (select contact_id from found)), \
            page as (select people.*, case when person.id = \(part.readable("person.id")) \
            then json_build_object('id', person.id\(unescaped: names)) end as contact \
            from (select * from people\(rest)) as people join contact as person on person.tenant_id = \(context.tenant) \
            and person.id = people.contact_id and person.deleted_at is null order by not is_main, place limit \(limit)) \
            select place, case when place is not null then \
            (select row_to_json(one) from (select \(Self.members), page.contact) as one) end as body \
            from (select from found) as deal left join page on true order by not is_main, place
            """
    }

    /// The place of the main contact: before all ids.
    private static let first = "00000000-0000-0000-0000-000000000000"

    /// What an answer shows of a link, of a row with its columns and `is_main`.
    private static let members: SQL = """
        id, version, deal_id, contact_id, role, is_main, rfc3339(created_at) as created_at, rfc3339(updated_at) as updated_at, created_by, updated_by
        """

    // MARK: Writing

    private var put: Route {
        .permitted(
            Permission(.deals, .update), .put, Self.onePath,
            Operation(
                id: "putDealContact", summary: "Link a contact to a deal, or change its role",
                description: """
                    \(Self.text) You link contacts that you may read. If-None-Match: * only links, If-Match: * or a version only changes; else the \
                    answer is version_mismatch.
                    """, tag: "deals", parameters: [.ifMatch, .onlyMakes, .idempotencyKey],
                body: [
                    "type": "object", "required": ["role"], "additionalProperties": false,
                    "properties": [
                        "role": [
                            "type": ["string", "null"], "maxLength": .number(Self.maximumRole),
                            "description": "What the person has to say in it.",
                        ]
                    ],
                ], bodyExample: ["role": "Decision maker"],
                responses: [
                    .init(200, "The link, which was there.", schema: Self.schema(withContact: false), headers: [.tag]),
                    .init(201, "The link, which is new.", schema: Self.schema(withContact: false), headers: [.tag]),
                ], errors: [.referenceNotFound])
        ) { call, context in
            try call.query.allowOnly([])
            let (id, contact): (RecordID, RecordID) = (try call.id(), try call.id("contact_id"))
            let (key, occasion) = (try IdempotencyKey(call), try UpsertOccasion(call))
            let body = BodyReader(try call.json(), members: ["role"])
            let role = body.clearableText("role", maximum: Self.maximumRole)
            if !body.has("role") { body.fault("role", .required, "The member 'role' is required; null for none.") }
            let wanted = try body.require(role).text
            try refuseHidden(context, isWrite: true)
            return try await IdempotencyKey.guarding(key, as: context, on: postgres) {
                try await link(contact, to: id, as: wanted, occasion, key, context)
            }
        }
    }

    private func link(
        _ contact: RecordID, to id: RecordID, as role: String?, _ occasion: UpsertOccasion, _ key: IdempotencyKey?,
        _ context: RequestContext
    ) async throws -> Reply {
        let demand = contacts.part(for: context).demand(contact, at: "/contact_id")
        // The contact first, as a merge locks it and then the deals that it is the main one of.
        let locks = ["select " + demand.condition, deals.part(for: context).lock(id)]
        let writing = writing(contact, id, role, demand, occasion, key, as: context)
        if let row = try await run(locks + [writing], as: context)[2].first {
            let (body, version): (String, Int64) = (try row.decode("body"), try row.decode("version"))
            return .json(Array(body.utf8), status: try row.decode("status"), headers: [("etag", EntityTag.of(version))])
        }
        let question: SQL = """
            select (select version from deal_contact where \(target(contact, id, as: context)))\([demand].questions) \
            from deal where \(deals.condition(on: id, as: context))
            """
        guard let row = try await run([question], as: context)[0].first else { throw Problem.notFound }
        if let problem = try [demand].refusal(row, from: 1) { throw problem }
        switch (occasion, try row.decode(0, as: Int64?.self)) {
        case (.onlyMakes, let version?): try Precondition.versions([]).check(version)
        case (.onlyChanges(let precondition), let version?): try precondition.check(version)
        case (.onlyChanges, nil): throw Problem(.versionMismatch, "The contact is not linked to the deal.")
        case (.always, _), (.onlyMakes, nil): break
        }
        // As wanted by now, and not when it was tried.
        throw Problem.raced
    }

    /// The one statement, behind the locks of both records: a row when the link is as it was wanted.
    private func writing(
        _ contact: RecordID, _ id: RecordID, _ role: String?, _ demand: Demand, _ occasion: UpsertOccasion, _ key: IdempotencyKey?,
        as context: RequestContext
    ) -> SQL {
        let (tenant, user): (SQL, SQL) = ("\(context.tenant)::uuid", "\(context.user)::uuid")
        let role: SQL = "\(role.sqlValue)::text"
        let (isWanted, mayMake): (SQL, SQL) =
            switch occasion {
            case .always: ("true", "true")
            case .onlyMakes: ("false", "true")
            case .onlyChanges(.none): ("true", "false")
            case .onlyChanges(.versions(let versions)): ("version = any(\(versions))", "false")
            }
        let parts: [SQL] = [
            "found as (select id, contact_id from deal where \(deals.condition(on: id, as: context)) and \(demand.condition))",
            "known as (select * from deal_contact where \(target(contact, id, as: context)) and exists (select from found))",
            """
            changed as (update deal_contact set role = \(role), role_from = null, version = version + 1, updated_at = now(), updated_by = \(user) \
            where \(target(contact, id, as: context)) and exists (select from found) and role is distinct from \(role) and \(isWanted) returning *)
            """,
            """
            made as (insert into deal_contact (tenant_id, deal_id, contact_id, role, created_by, updated_by) \
            select \(tenant), id, \(contact)::uuid, \(role), \(user), \(user) from found \
            where \(mayMake) and not exists (select from known) returning *)
            """,
            """
            written as (select *, 201 as status from made union all select *, 200 from changed \
            union all select *, 200 from known where role is not distinct from \(role) and \(isWanted))
            """,
            """
            answer as (select version, status, (select row_to_json(one) from (select \(Self.members)) as one)::text as body from (\
            select written.*, written.contact_id is not distinct from found.contact_id as is_main from written cross join found) as shown)
            """,
        ]
        let kept = key.map {
            ["key as (" + $0.insertion(as: context, status: "status", body: "body", version: "version", from: "answer") + ")"]
        }
        return "with " + SQL.joined(parts + (kept ?? []), separator: ", ") + " select version, status, body from answer"
    }

    private func target(_ contact: RecordID, _ id: RecordID, as context: RequestContext) -> SQL {
        "tenant_id = \(context.tenant) and deal_id = \(id) and contact_id = \(contact)"
    }

    private var delete: Route {
        .permitted(
            Permission(.deals, .update), .delete, Self.onePath,
            Operation(
                id: "deleteDealContact", summary: "Take a contact away from a deal",
                description: "Of the main one it takes the role: it stays as long as it is contact_id of the deal.", tag: "deals",
                parameters: [.ifMatch, .idempotencyKey], responses: [.init(204, "It is linked no more.")])
        ) { call, context in
            try call.query.allowOnly([])
            try call.refuseBody()
            let (id, contact): (RecordID, RecordID) = (try call.id(), try call.id("contact_id"))
            let (key, precondition) = (try IdempotencyKey(call), try Precondition(call))
            try refuseHidden(context, isWrite: true)
            return try await IdempotencyKey.guarding(key, as: context, on: postgres) {
                try await unlink(contact, from: id, precondition, key, context)
            }
        }
    }

    private func unlink(
        _ contact: RecordID, from id: RecordID, _ precondition: Precondition, _ key: IdempotencyKey?, _ context: RequestContext
    ) async throws -> Reply {
        // Of a contact that is deleted, also by a merge, a list shows no link.
        let shown: SQL = """
            \(target(contact, id, as: context)) and exists (select from deal where \(deals.condition(on: id, as: context))) \
            and exists (select from contact where tenant_id = \(context.tenant) and id = \(contact) and deleted_at is null)
            """
        var wanted = shown
        if case .versions(let versions) = precondition { wanted += " and version = any(\(versions))" }
        let kept = key.map { ", key as (" + $0.insertion(as: context, status: 204, from: "gone") + ")" } ?? ""
        let writing =
            "with recursive gone as (delete from deal_contact where " + wanted + " returning id), "
            + unseen(by: contact, of: id, as: context) + kept + " select 1 from gone"
        if try await !run([writing], as: context)[0].isEmpty { return .noContent }
        guard let row = try await run(["select version from deal_contact where " + shown], as: context)[0].first else {
            throw Problem.notFound
        }
        try precondition.check(try row.decode(0))
        throw Problem.notFound
    }

    /// Of who became the contact, links to the deal that nobody sees go with the one that was seen, or undoing a merge would bring back what was taken
    /// away.
    private func unseen(by contact: RecordID, of id: RecordID, as context: RequestContext) -> SQL {
        """
        unseen (id, person) as (\
        select link.id, contact.merged_into_id from deal_contact as link \
        join contact on contact.tenant_id = \(context.tenant) and contact.id = link.contact_id \
        where link.tenant_id = \(context.tenant) and link.deal_id = \(id) and contact.merged_into_id is not null and exists (select from gone) \
        union select unseen.id, contact.merged_into_id from unseen \
        join contact on contact.tenant_id = \(context.tenant) and contact.id = unseen.person where contact.merged_into_id is not null), \
        forgotten as (delete from deal_contact where tenant_id = \(context.tenant) \
        and id in (select id from unseen where person = \(contact)))
        """
    }

    // MARK: What may go wrong

    /// Who does not see whom a deal is with sees nothing of this, and who may not change that changes nothing of it.
    private func refuseHidden(_ context: RequestContext, isWrite: Bool = false) throws(Problem) {
        if deals.hides("contact_id", from: context) { throw .notFound }
        if isWrite, context.fields["deals"]["contact_id"] != nil {
            throw Problem(.forbidden, "Your role does not change whom a deal is with.")
        }
    }

    private func run(_ statements: [SQL], as context: RequestContext) async throws -> [PostgresResult] {
        do {
            return try await postgres.batch(as: context, statements)
        } catch let error as PostgresError {
            guard error.constraint == "deal_contact_few" else { throw error.problem }
            let detail = "A deal has at most \(Self.maximumCount) contacts, deleted ones among them."
            var problem = Problem.invalid([.init(pointer: "/contact_id", code: .tooMany, detail: detail)])
            problem.underlying = error
            throw problem
        }
    }

    // MARK: Document

    private static func schema(withContact: Bool) -> JSON {
        func nullable(_ type: String, _ format: String? = nil, _ description: String? = nil) -> JSON {
            var schema = JSONObject()
            schema["type"] = withContact ? [.string(type), "null"] : .string(type)
            schema["format"] = format.map { .string($0) }
            schema["description"] = description.map { .string($0) }
            return .object(schema)
        }
        var properties = JSONObject()
        properties["id"] = nullable("string", "uuid", withContact ? "Null, as all about the link, where the main contact has none." : nil)
        properties["version"] = nullable("integer")
        properties["deal_id"] = ["type": "string", "format": "uuid"]
        properties["contact_id"] = ["type": "string", "format": "uuid"]
        properties["role"] = ["type": ["string", "null"], "maxLength": .number(maximumRole), "examples": ["Decision maker"]]
        properties["is_main"] = ["type": "boolean", "description": "Whether it is contact_id of the deal."]
        properties["created_at"] = nullable("string", "date-time", "Since when it is linked.")
        properties["updated_at"] = nullable("string", "date-time")
        properties["created_by"] = nullable("string", "uuid", "The member who linked it.")
        properties["updated_by"] = nullable("string", "uuid")
        if withContact {
            properties["contact"] = [
                "type": ["object", "null"], "required": ["id"], "description": "Null where you may not read the contact.",
                "properties": [
                    "id": ["type": "string", "format": "uuid"], "first_name": ["type": ["string", "null"], "examples": ["Ngozi"]],
                    "last_name": ["type": "string", "examples": ["Okafor"]],
                    "email": ["type": ["string", "null"], "examples": ["ngozi.okafor@kestrel.example"]],
                ],
            ]
        }
        return [
            "type": "object", "required": .array(properties.members.map { .string($0.name) }), "properties": .object(properties),
        ]
    }
}
