import Core
import Postgres

/// The answer of an operation that shows several records, each under a name: `{"lead":{…},"account":null}`. They are read at the end of the
/// operation's own batch, and a repeat with its key gets them as they were then.
public struct RecordsAnswer: Sendable {
    /// A record of the answer.
    public struct Member: Sendable {
        let name: String
        let part: ResourcePart
        let id: SQL

        /// - Parameter id: an expression that gives the record's id in the batch, or null where there is none.
        public init(_ name: String, _ part: ResourcePart, id: SQL) {
            self.name = name
            self.part = part
            self.id = id
        }
    }

    /// The first gives the entity tag.
    private let members: [Member]

    public init(_ members: Member...) { self.members = members }

    /// Reads the records; one statement each.
    public var statements: [SQL] { members.map { $0.part.selection(of: $0.id) } }

    /// The answer made of what ``statements`` have given.
    public func reply(_ results: some Sequence<PostgresResult>) -> Reply {
        reply(zip(members, results).map { member, result in result.first.flatMap { member.part.record($0) } }, headers: [])
    }

    /// Keeps the answer for a replay where the source has a row.
    public func insertion(of key: IdempotencyKey, as context: RequestContext, from source: SQL) -> SQL {
        key.columns(as: context, status: "200") + " " + SQL.joined(members.map { $0.part.stored($0.id) }, separator: " || ") + " from "
            + source
    }

    /// Confirms the members that the drafts refer to, and runs the operation, or answers as before when it took effect already.
    public func guarding(
        _ key: IdempotencyKey?, _ drafts: [RecordDraft], as context: RequestContext, _ operation: () async throws -> Reply
    ) async throws -> Reply {
        try await members[0].part.access.guarding(key, as: context, replay: replay) {
            try await members[0].part.access.references.confirm(drafts.flatMap(\.members), as: context)
            return try await operation()
        }
    }

    /// Of each record the names of its columns, then their values; of none one empty name.
    private func replay(_ stored: StoredAnswer) -> Reply {
        var rest = stored.cells[...]
        let records = members.map { member -> Record? in
            guard let head = rest.popFirst(), let head, !head.isEmpty else { return nil }
            let count = head.count { $0 == UInt8(ascii: ",") } + 1
            let cells = [head] + rest.prefix(count)
            rest = rest.dropFirst(count)
            return member.part.access.store.replay(StoredAnswer(status: stored.status, cells: cells), .whole).record
        }
        return reply(records, headers: [IdempotencyKey.replayed])
    }

    private func reply(_ records: [Record?], headers: [(name: String, value: String)]) -> Reply {
        var body: [UInt8] = []
        for (index, (member, record)) in zip(members, records).enumerated() {
            body += "\(index == 0 ? "{" : ",")\"\(member.name)\":".utf8
            body += record?.body ?? Array("null".utf8)
        }
        body.append(UInt8(ascii: "}"))
        let tag = records.first.flatMap { $0 }.map { [(name: "etag", value: members[0].part.access.tag(of: $0))] } ?? []
        return .json(body, headers: headers + tag)
    }
}

extension ResourcePart {
    private var reach: SQL { access.definition.reach(of: context) ?? "true" }

    /// Reads a record as it is answered, and whether the caller reaches it.
    fileprivate func selection(of id: SQL) -> SQL {
        let names = access.view.shown.columns.map(\.name).joined(separator: ", ")
        return """
            select \(unescaped: names), \(reach) as is_in_reach from \(unescaped: access.definition.table) \
            where tenant_id = \(context.tenant) and id = \(id)
            """
    }

    fileprivate func record(_ row: PostgresRow) -> Record? {
        access.store.record(row, isInReach: (try? row.decode("is_in_reach")) ?? false)
    }

    /// The record as a replay needs it.
    fileprivate func stored(_ id: SQL) -> SQL {
        """
        coalesce((select case when \(reach) then \(unescaped: access.store.statements.answer) \
        else array['id,version', id::text, version::text] end \
        from \(unescaped: access.definition.table) where tenant_id = \(context.tenant) and id = \(id)), array[''])
        """
    }
}
