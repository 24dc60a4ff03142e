import Contracts
import Core
import Postgres

/// `GET /v1/audit` and its export.
struct AuditRoutes: Sendable {
    let store: AuditStore
    let cursors: CursorSigner

    static let schemas: [(name: String, schema: JSON)] = [
        (
            "AuditEntry",
            [
                "type": "object",
                "required": ["sequence", "id", "occurred_at", "action", "resource", "resource_id", "actor", "request_id"],
                "properties": [
                    "sequence": ["type": "integer", "description": "1, 2, 3, … without a gap in a tenant."],
                    "id": ["type": "string", "format": "uuid"], "occurred_at": ["type": "string", "format": "date-time"],
                    "source": ["type": "string"], "action": ["type": "string", "examples": ["lead.created"]],
                    "resource": ["type": "string", "examples": ["lead"]], "resource_id": ["type": "string"],
                    "actor": ["type": "string", "description": "The user's id, or system."], "request_id": ["type": "string"],
                    "before": [
                        "type": ["object", "null"],
                        "description": "What the change has changed, as it was; null for a record that was created.",
                    ],
                    "after": [
                        "type": ["object", "null"],
                        "description":
                            "The same members as they are since, as a merge patch: the whole record when it was created, null when it was erased.",
                    ],
                    "details": ["type": ["object", "null"], "description": "Of an event that is no change of a record."],
                    "erased": ["type": "boolean", "description": "Whether what the entry said was erased; its place in the chain stays."],
                    "previous_hash": ["type": "string"], "hash": ["type": "string"],
                ],
            ]
        )
    ]

    private static let listParameters: [Operation.Parameter] = [
        .init("actor", in: .query, schema: ["type": "string"], "Only what this user did (an id, or system)."),
        .init("resource", in: .query, schema: ["type": "string"], "Only changes of this kind of record, such as lead."),
        .init("id", in: .query, schema: ["type": "string"], "Only changes of the record with this id."),
        .init("action", in: .query, schema: ["type": "string"], "Any of these, by commas, such as lead.created,lead.deleted."),
        .init("created_after", in: .query, schema: ["type": "string", "format": "date-time"], "Only what happened after."),
        .init("created_before", in: .query, schema: ["type": "string", "format": "date-time"], "Only what happened before."),
        .init(
            "sort", in: .query, schema: ["type": "string", "enum": ["sequence", "-sequence"], "default": "-sequence"],
            "Oldest or newest first."),
    ]

    var routes: [Route] {
        [
            .permitted(
                Permission(.audit, .read), .get, "/v1/audit",
                Operation(
                    id: "listAudit", summary: "List what happened, newest first",
                    description: """
                        Every change of every record, with who made it, by which request, and the changed members before and after. Entries \
                        are numbered without gaps, and each has the hash of the one before. An event that could not be taken in has an entry \
                        audit.gap in its place. What an entry says of a record (before, after, details) is shown to who may read all records of the \
                        kind, without the fields that the role hides; of invitations, users and sessions to who may read members.
                        """,
                    tag: "audit",
                    parameters: Self.listParameters + Paging.parameters,
                    responses: [.init(200, "A page of the trail", schema: Paging.schema(of: ["$ref": "#/components/schemas/AuditEntry"]))])
            ) { [self] call, context in try await list(call, context) },
            .permitted(
                Permission(.audit, .export), .get, "/v1/audit/export",
                Operation(
                    id: "exportAudit", summary: "Export the trail with its hash chain (NDJSON, oldest first)",
                    description: """
                        Whoever keeps the file can prove that nothing in it was changed or left out: martlet-activity verify recomputes the \
                        chain without a server. The last line says how many entries there are and the hash of the last: a file without it is \
                        not whole. That nothing was taken off its end is proved by an entry noted elsewhere, such as the newest of GET /v1/audit. \
                        It is for roles that may read all records of every kind that the trail tells of, with every field.
                        """,
                    tag: "audit",
                    parameters: [
                        .init(
                            "after_sequence", in: .query, schema: ["type": "integer", "minimum": 0, "default": 0],
                            "Only the entries after this one, to go on from an earlier export.")
                    ],
                    responses: [.init(200, "One entry a line, and the end; martlet-activity verify checks it")])
            ) { [self] call, context in try await export(call, context) },
        ]
    }

    private func list(_ call: Call, _ context: RequestContext) async throws -> Reply {
        let query = call.query
        let paging = try Paging(
            call, of: ["audit", context.tenant.description], further: Self.listParameters.map(\.name), cursors: cursors)
        var filter = AuditFilter()
        filter.actor = query["actor"]
        filter.resource = query["resource"]
        filter.resourceID = query["id"]
        filter.actions = Set(query["action"]?.split(separator: ",", omittingEmptySubsequences: false).map(String.init) ?? [])
        guard !filter.actions.contains("") else { throw Problem.invalidParameter("action", "Give one or more actions, joined by commas.") }
        filter.after = try Self.time("created_after", in: query)
        filter.before = try Self.time("created_before", in: query)
        switch query["sort"] {
        case nil, "-sequence": break
        case "sequence": filter.isNewestFirst = false
        default: throw Problem.invalidParameter("sort", "Sort by sequence or -sequence.")
        }
        let position = try paging.position(\.integer)
        let rows = try await store.page(filter, beyond: position, limit: paging.limit, content: .change, as: context)
        let end = try rows.last.flatMap { try $0.decode("has_more") ? try $0.decode("sequence", as: Int64.self) : nil }

        let rights = context.rights
        var writer = JSONWriter(capacity: 512 * paging.limit)
        try writer.object { object in
            try object.member("data") { writer in
                try writer.array { array in
                    for row in rows { try array.element { try Self.write(row, for: rights, to: &$0) } }
                }
            }
            object.member("page", .object(paging.page(next: end.map { .number($0) })))
        }
        return .json(writer.bytes)
    }

    /// An entry with ``AuditStore/Content/change`` as JSON.
    private static func write(_ row: PostgresRow, for rights: Rights, to writer: inout JSONWriter) throws {
        try writer.object { object in
            object.member("sequence", try row.decode("sequence", as: Int64.self))
            object.member("id", try row.decode("id", as: String.self))
            object.member("occurred_at", try row.decode("occurred_at", as: Timestamp.self).description)
            object.member("source", try row.decode("source", as: String.self))
            object.member("action", try row.decode("kind", as: String.self))
            let aggregate = try row.decode("aggregate", as: String.self)
            object.member("resource", aggregate)
            object.member("resource_id", try row.decode("aggregate_id", as: String.self))
            object.member("actor", try row.decode("actor", as: String.self))
            object.member("request_id", try row.decode("request_id", as: String.self))
            let hidden = rights.hidden(inEventsOf: aggregate)
            for name in ["before", "after", "details"] {
                let text = try row.decode(name, as: String?.self)
                let shown = try hidden == [] ? text : text.flatMap { try Self.without(hidden, $0) }
                object.member(name) { $0.raw((shown ?? "null").utf8) }
            }
            object.member("erased", JSON.bool(try row.decode("erased")))
            object.member("previous_hash", try row.decode("previous_hash", as: String.self))
            object.member("hash", try row.decode("hash", as: String.self))
        }
    }

    /// The members of a record but for those that are hidden from the reader; `nil` where all are.
    private static func without(_ hidden: Set<String>?, _ text: String) throws -> String? {
        guard let hidden, var object = try JSONParser.parse(text).object else { return nil }
        for name in hidden { object[name] = nil }
        return JSON.object(object).description
    }

    /// Streams the trail page by page, so memory stays the same for any length and for entries of any size.
    private func export(_ call: Call, _ context: RequestContext) async throws -> Reply {
        try call.query.allowOnly(["after_sequence"])
        if let obstacle = context.rights.obstacleToWholeTrail { throw Problem(.forbidden, obstacle) }
        let start = try await start(call.query["after_sequence"], context)
        var reply = Reply(
            status: 200,
            headers: [("content-type", "application/x-ndjson"), ("content-disposition", "attachment; filename=\"audit.ndjson\"")])
        reply.stream = { [store] write in
            var filter = AuditFilter()
            filter.isNewestFirst = false
            var (last, count, isWhole) = (start, 0, false)
            while !isWhole {
                // An export may take longer than a request; each of its pages may not.
                var page = context
                page.edge.deadline = Timestamp.now.advanced(by: .seconds(30))
                let rows = try await store.page(filter, beyond: last.sequence, limit: 500, content: .chain, as: page)
                guard let row = rows.last else { break }
                last = .init(sequence: try row.decode("sequence"), hash: try row.decode("hash"))
                count += rows.count
                isWhole = try !row.decode("has_more", as: Bool.self)
                try await write(try await Self.lines(of: rows))
            }
            try await write(EventChain.end(entries: count, after: start, at: last) + [UInt8(ascii: "\n")])
        }
        return reply
    }

    /// The entry that an export begins after.
    private func start(_ text: String?, _ context: RequestContext) async throws -> EventChain.Position {
        guard let text, text != "0" else { return .start }
        guard let sequence = Int64(text), sequence > 0, let hash = try await store.findHash(of: sequence, as: context) else {
            throw Problem.invalidParameter("after_sequence", "Give the number of an entry of the trail, or 0.")
        }
        return .init(sequence: sequence, hash: hash)
    }

    /// A line for each entry. Work of milliseconds, which is not for the threads that answer requests.
    private static func lines(of rows: PostgresResult) async throws -> [UInt8] {
        try await withTaskExecutorPreference(globalConcurrentExecutor) {
            var lines: [UInt8] = []
            for row in rows {
                lines += EventChain.line(
                    header: try header(row).bytes, hash: try row.decode("hash"), salt: try row.decode("salt"),
                    payload: try row.decode("payload"))
                lines.append(UInt8(ascii: "\n"))
            }
            return lines
        }
    }

    private static func header(_ row: PostgresRow) throws -> EventChain.Header {
        EventChain.Header(
            format: try row.decode("format"), sequence: try row.decode("sequence"),
            event: .init(
                id: try row.decode("id"), tenant: try row.decode("tenant_id"), source: try row.decode("source"),
                aggregate: try row.decode("aggregate"), aggregateID: try row.decode("aggregate_id"), kind: try row.decode("kind"),
                actor: try row.decode("actor"), requestID: try row.decode("request_id"), occurredAt: try row.decode("occurred_at"),
                payload: ""),
            payloadHash: try row.decode("payload_hash"), previousHash: try row.decode("previous_hash"))
    }

    private static func time(_ name: String, in query: Query) throws(Problem) -> Timestamp? {
        guard let text = query[name] else { return nil }
        guard let time = Timestamp(Timestamp.inQuery(text)) else {
            throw .invalidParameter(name, "Give a time in RFC 3339, such as 2026-01-31T09:30:00.000Z.")
        }
        return time
    }
}
