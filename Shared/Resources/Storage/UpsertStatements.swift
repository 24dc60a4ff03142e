import Core
import Postgres

/// The SQL of an upsert, one statement: the record is changed, or given as it is, and made where there is none. In this order, as most often
/// it is there: then no row is made up for nothing, with its words, its number and its place under the plan's limit.
///
/// Two upserts of one external id go one after another (``ResourceStatements/locks(of:as:)``), so the second sees what the first has made.
extension ResourceStatements {
    func upsert(_ upsert: Upsert, as context: RequestContext, returning names: SQL) -> Statement {
        let record = RecordKey.external(upsert.externalID)
        let present = names + ", false as is_new"
        var parts: [SQL] = []
        var results: [SQL] = []
        if case .success(let changes) = upsert.changes {
            let change = update(record, changes, upsert.precondition, as: context, returning: present)
            if let reading = unchanged(record, changes, upsert.precondition, as: context, returning: present) {
                parts.append("changed as (" + change + ")")
                results += ["select * from changed", reading.result]
            } else {
                results.append(change)
            }
        }
        if case .success(let creation) = upsert.creation {
            parts.append("made as (" + making(upsert, creation, as: context, returning: names) + ")")
            results.append("select * from made")
        }
        return Statement(
            parts: parts.isEmpty ? nil : SQL.joined(parts, separator: ", "), result: SQL.joined(results, separator: " union all "))
    }

    /// Makes the record unless somebody's is there, also one that is none of the caller's. One that is just coming back (restored, or
    /// created by an older release) is waited for, and then nothing is made either.
    private func making(_ upsert: Upsert, _ changes: [Change], as context: RequestContext, returning names: SQL) -> SQL {
        let isFree = places(of: upsert.externalID, as: context).map { "not exists (" + $0 + ")" }
        return insertion(upsert.id, changes, at: upsert.instant, as: context, where: isFree)
            + " on conflict (tenant_id, external_id) where deleted_at is null and external_id is not null do nothing"
            + " returning " + names + ", true as is_new"
    }

    /// Whether anybody's live record has the external id, or one that was merged into another.
    func isTaken(_ externalID: String, as context: RequestContext) -> SQL {
        "select " + SQL.joined(places(of: externalID, as: context).map { "exists (" + $0 + ")" }, separator: " or ")
    }

    /// Where the external id may be: each looks into an index of its own.
    private func places(of externalID: String, as context: RequestContext) -> [SQL] {
        let states = ["deleted_at is null"] + (definition.isMergeable ? ["deleted_at is not null and merged_into_id is not null"] : [])
        return states.map { state in
            "select from \(unescaped: table) where " + key(.external(externalID), context) + " and \(unescaped: state)"
        }
    }
}

/// What is unique.
extension ResourceStatements {
    /// Takes a lock for each unique value that the writes give, before they see what is there: two writes of one value go one after
    /// another, and all take their locks in the same order, before those of rows, numbers and limits. So nobody waits for each other in a
    /// circle, as they would at the index. `nil` when there is none.
    func locks(of writes: [Write], as context: RequestContext) -> SQL? {
        let names = writes.flatMap { write in
            write.uniqueValues.map { "\(definition.table).\($0.field.name) \(context.tenant) \($0.value)" }
        }
        guard !names.isEmpty else { return nil }
        return """
            select pg_advisory_xact_lock(lock) from \
            (select distinct hashtextextended(name, 0) as lock from unnest(\(names)::text[]) as name order by lock) as locks
            """
    }

    /// The id of the live record that has the value which the write wanted to give to its own; none if the caller may not see it.
    func holder(of field: Field, wantedBy write: Write, as context: RequestContext) -> SQL? {
        guard field.isUnique else { return nil }
        let value: SQL
        switch write {
        case .restore(let id, _):
            value = "(select \(unescaped: field.name) from \(unescaped: table) where " + key(.id(id), context) + ")"
        default:
            guard let wanted = write.uniqueValues.last(where: { $0.field.name == field.name }) else { return nil }
            value = "\(wanted.value)"
        }
        return
            "select id from \(unescaped: table) where tenant_id = \(context.tenant) and deleted_at is null and \(unescaped: field.name) = "
            + value + scope(of: context)
    }
}
