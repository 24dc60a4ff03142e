import Core
import Postgres

/// A bulk act as it stands, for its asker.
struct BulkAct: Sendable {
    let id: RecordID
    let resource: String
    private(set) var filter: JSON
    /// `nil` when it deletes.
    private(set) var change: JSON?
    let createdAt: Timestamp
    let createdBy: UserID
    private(set) var status = "queued"
    private(set) var job = RecordID()
    private(set) var place: Cursor?
    private(set) var endedAt: Timestamp?
    /// What is made later is none of it.
    private(set) var madeUntil = Timestamp.now
    private(set) var reason: String?
    private(set) var reasons = JSON.object(JSONObject())
    private(set) var keptReasons = JSON.object(JSONObject())
    private(set) var matched: Int64 = 0
    let deletes: Bool
    private let total: Int64
    private var counts: [(name: String, count: Int64)]

    private static let counters = ["matched", "changed", "skipped", "failed", "reverted", "kept"]

    init(
        id: RecordID, resource: String, filter: JSON, change: JSON?, total: Int64, createdAt: Timestamp, by user: UserID
    ) {
        self.id = id
        self.resource = resource
        self.filter = filter
        self.change = change
        self.total = total
        self.createdAt = createdAt
        createdBy = user
        deletes = change == nil
        counts = Self.counters.map { ($0, 0) }
    }

    /// One that the queue has given up has failed, or was cancelled, though nobody could write it down.
    static func query(_ id: RecordID, of resource: String?, as context: RequestContext) -> SQL {
        """
        select bulk_act.id, resource, filter, change, bulk_act.total, bulk_act.created_at, made_until, created_by, place, reasons, kept_reasons, job_id, \
        case when bulk_act.status in ('queued', 'running', 'reverting') and job.status = 'failed' then 'failed' \
        else bulk_act.status end as status, coalesce(bulk_act.reason, case when job.status = 'failed' then 'internal' end) as reason, \
        coalesce(bulk_act.ended_at, job.ended_at) as ended_at, \(unescaped: counters.joined(separator: ", ")) \
        from bulk_act left join job on job.tenant_id = bulk_act.tenant_id and job.id = bulk_act.job_id \
        where bulk_act.tenant_id = \(context.tenant) and bulk_act.id = \(id)
        """ + (resource.map { " and resource = \($0)" } ?? "")
    }

    init(row: PostgresRow) throws {
        id = try row.decode("id")
        resource = try row.decode("resource")
        filter = try row.decode("filter")
        change = try row.decode("change")
        total = try row.decode("total")
        createdAt = try row.decode("created_at")
        createdBy = try row.decode("created_by")
        madeUntil = try row.decode("made_until")
        deletes = change == nil
        place = try row.decode("place", as: JSON?.self).flatMap { Cursor($0) }
        reasons = try row.decode("reasons")
        keptReasons = try row.decode("kept_reasons")
        job = try row.decode("job_id")
        status = try row.decode("status")
        reason = try row.decode("reason")
        endedAt = ["queued", "running", "reverting"].contains(status) ? nil : try row.decode("ended_at")
        counts = try Self.counters.map { ($0, try row.decode($0)) }
        matched = try row.decode("matched")
    }

    /// The same for somebody who may not know by what was asked.
    var withoutRequest: BulkAct {
        var act = self
        act.filter = .null
        act.change = nil
        return act
    }

    var json: JSON {
        var counts = JSONObject()
        for (name, count) in self.counts { counts[name] = .number(count) }
        return [
            "id": .string(id.description), "resource": .string(resource), "status": .string(status),
            "filter": filter,
            "change": change ?? .null, "delete": .bool(deletes),
            "progress": ["done": .number(matched), "total": .number(total)],
            "counts": .object(counts), "reasons": reasons, "kept_reasons": keptReasons, "reason": reason.map(JSON.string) ?? .null,
            "created_at": .string(createdAt.description), "created_by": .string(createdBy.description),
            "ended_at": endedAt.map { .string($0.description) } ?? .null,
        ]
    }

    static let schema: JSON = {
        var counts = JSONObject()
        for name in counters { counts[name] = ["type": "integer", "minimum": 0] }
        let time: JSON = ["type": "string", "format": "date-time"]
        return [
            "type": "object",
            "required": [
                "id", "resource", "status", "filter", "change", "delete", "progress", "counts", "reasons", "kept_reasons",
                "reason", "created_at",
                "created_by", "ended_at",
            ],
            "properties": [
                "id": ["type": "string", "format": "uuid"], "resource": ["type": "string"],
                "status": [
                    "type": "string",
                    "enum": [
                        "queued", "running", "succeeded", "failed", "cancelled", "reverting", "reverted",
                    ],
                ],
                "filter": ["type": ["object", "null"], "description": "As it was given."],
                "change": [
                    "type": ["object", "null"], "description": "As it was given; null when it deletes.",
                ],
                "delete": ["type": "boolean"],
                "progress": [
                    "type": "object", "required": ["done", "total"],
                    "properties": [
                        "done": ["type": "integer"],
                        "total": ["type": "integer", "description": "What the filter found at the beginning."],
                    ],
                ],
                "counts": [
                    "type": "object", "properties": .object(counts),
                    "description": """
                    Records met (matched): changed; skipped, as they were so already, or none of the filter's or yours any more; failed. \
                    When it is undone: reverted, or kept as they are.
                    """,
                ],
                "reasons": [
                    "type": "object", "description": "Of those that failed, how many for which code.",
                ],
                "kept_reasons": [
                    "type": "object",
                    "description": """
                    Of those that were kept when it was undone, how many for which code: version_mismatch where they were changed since, not_found where \
                    they are not yours by now, reference_not_found where what they referred to is not there any more, and what else stands in the way.
                    """,
                ],
                "reason": [
                    "type": ["string", "null"], "description": "Why it failed as a whole: a code.",
                ],
                "created_at": time, "created_by": ["type": "string", "format": "uuid"],
                "ended_at": ["type": ["string", "null"], "format": "date-time"],
            ],
        ]
    }()
}

/// How the routes of bulk acts are described.
struct BulkDocuments {
    private let definition: ResourceDefinition

    init(_ definition: ResourceDefinition) { self.definition = definition }

    private var type: String { definition.schemaName }
    private var example: JSON {
        let field = definition.fields.first { $0.isNullable && !$0.isReadOnly && !$0.isUnique }
        var change = JSONObject()
        if let field { change[field.name] = field.example ?? .null }
        return [
            "filter": ["created_at[lt]": "2026-01-01T00:00:00Z"], "change": .object(change),
            "dry_run": true,
        ]
    }

    var begin: Operation {
        Operation(
            id: "bulk\(type)", summary: "Change or delete all \(definition.name) that a filter finds",
            description: """
                The filter has the parameters of the list as members, as in {"created_at[lt]":"2026-01-01T00:00:00Z"}; empty it finds all \
                that you see. The change is a merge patch for each, or delete is true. At most \(BulkRequest.maximum) records. With dry_run \
                nothing is done, and the answer says how many there are. Else it is done in the background, a hundred records at a time, as if \
                you had changed each: with its version, its entry in the trail, the rules of its states, and what you may do at that moment. Needs the permission \
                \(definition.permissions.rawValue).update or \(definition.permissions.rawValue).delete.
                """,
            tag: definition.name, parameters: [.idempotencyKey],
            body: [
                "type": "object", "required": ["filter"], "additionalProperties": false,
                "properties": [
                    "filter": [
                        "type": "object", "additionalProperties": ["type": ["string", "number", "boolean"]],
                    ],
                    "change": ["$ref": .string("#/components/schemas/\(type)Patch")],
                    "delete": ["type": "boolean", "const": true],
                    "dry_run": ["type": "boolean", "default": false],
                ],
            ], bodyExample: example,
            responses: [
                .init(
                    200, "What it would meet, with dry_run.",
                    schema: [
                        "type": "object", "required": ["matched", "sample"],
                        "properties": [
                            "matched": ["type": "integer"],
                            "sample": [
                                "type": "array", "items": ["type": "string", "format": "uuid"],
                                "description": "The oldest ten.",
                            ],
                        ],
                    ]),
                .init(202, "It will be done; ask how far it is by its id.", schema: BulkAct.schema),
            ], errors: [.referenceNotFound])
    }

    var get: Operation {
        Operation(
            id: "get\(type)Bulk", summary: "Read how far a bulk act is",
            description: "Of your own, or with \(definition.permissions.rawValue).admin of anybody.", tag: definition.name,
            responses: [.init(200, "The act.", schema: BulkAct.schema)])
    }

    var cancel: Operation {
        Operation(
            id: "cancel\(type)Bulk", summary: "Cancel a bulk act", description: "What it has changed stays; it can be undone.",
            tag: definition.name, parameters: [.idempotencyKey],
            responses: [.init(202, "It does nothing more.", schema: BulkAct.schema)], errors: [.conflict])
    }

    var revert: Operation {
        Operation(
            id: "revert\(type)Bulk", summary: "Undo a bulk act",
            description: """
                In the background: each record that it has changed, and that nobody has changed since, gets the members back that it had before, \
                or is restored; the others are counted as kept, with the reason. Records that it gave to others come back to you. For 30 days.
                """,
            tag: definition.name, parameters: [.idempotencyKey],
            responses: [.init(202, "It is being undone.", schema: BulkAct.schema)], errors: [.conflict])
    }
}
