import Core
import Postgres

/// What a write is held to because of references, as parts of its own statement.
///
/// A reference that a write makes leads to a record that is there, not deleted, and the caller's to read. Where deleting that record
/// has a say about those that refer to it, it is locked against being deleted meanwhile (`for share`: a deletion is an update of no key,
/// which the lock of a foreign key lets pass); the deletion locks it too, in a statement before its own, so that it sees what was
/// committed while it waited.
struct ReferenceStatements: Sendable {
    /// The most records that a deletion changes; with more that refer to it, it is refused.
    static let maximumCleared = 1000
    /// How far those are counted that a deletion is refused for.
    static let maximumCounted = 10_000

    private let view: ResourceView
    private let outgoing: [ResourceCatalogue.Reference]
    /// Those that say something about the deletion of what they refer to.
    private let incoming: [ResourceCatalogue.Reference]

    init(_ view: ResourceView, among catalogue: ResourceCatalogue) {
        self.view = view
        outgoing = catalogue.references(of: view.definition)
        incoming = catalogue.references(to: view.definition).filter { $0.onDelete != .keep }
    }

    private var definition: ResourceDefinition { view.definition }
    private var table: String { definition.table }

    /// Whether the record is to be locked by a statement before the write's own.
    func isLockedFirst(_ write: Write) -> Bool {
        guard !incoming.isEmpty, case .delete = write else { return false }
        return true
    }

    // MARK: What a record refers to

    private struct Condition {
        var reference: ResourceCatalogue.Reference
        var sql: SQL

        var fault: Problem.Fault {
            .init(
                pointer: "/\(reference.field.name)\(reference.field.type.isRelated ? "/id" : "")", code: .referenceNotFound,
                detail: "There is no such \(reference.target.noun).")
        }
    }

    /// The conditions of a write, all of which must hold; none for most.
    func conditions(of write: Write, as context: RequestContext) -> [SQL] {
        if isLockedFirst(write) { return permissions(toDelete: id(of: write, as: context), as: context) }
        return leads(of: write, as: context).map(\.sql)
    }

    /// The same for a write that is part of another statement, each with its refusal.
    func demands(of write: Write, as context: RequestContext) -> [Demand] {
        leads(of: write, as: context).map { condition in
            let fault = fault(of: condition)
            return Demand(condition.sql, otherwise: Problem(.referenceNotFound, fault.detail, faults: [fault]))
        }
    }

    private func leads(of write: Write, as context: RequestContext) -> [Condition] {
        guard !outgoing.isEmpty else { return [] }
        switch write {
        case .create(_, let changes, _):
            return changes.compactMap { change in
                reference(madeBy: change).map { Condition(reference: $0, sql: exists($0, "\($1)", as: context)) }
            }
        case .update(_, let changes, _):
            return changes.compactMap { change in
                guard let (reference, id) = reference(madeBy: change) else { return nil }
                // What is named and stays as it is, as in members that are sent back as they were read, is not looked at again.
                let isThere = reference.matches("\(id)", in: table)
                return Condition(reference: reference, sql: "(" + isThere + " or " + exists(reference, "\(id)", as: context) + ")")
            }
        case .restore:
            return outgoing.filter { $0.onDelete == .refuse }.map { reference in
                let leadsElsewhere = reference.type(in: table).map { "(\($0)) is not true" } ?? "\(reference.id(in: table)) is null"
                return Condition(
                    reference: reference,
                    sql: "(\(unescaped: leadsElsewhere) or " + exists(reference, "\(unescaped: reference.id(in: table))", as: nil) + ")")
            }
        // An upsert is held to what its parts are held to.
        case .delete, .upsert: return []
        }
    }

    /// The records that the changes refer to and of which there are copies only, for which their owners may have to be asked: not in the name of a
    /// caller who reads none of them.
    func copied(by changes: [Change], as context: RequestContext) -> [(resource: CopiedResource, id: RecordID)] {
        guard outgoing.contains(where: { $0.copied?.mayBeRead(by: context) == true }) else { return [] }
        return changes.compactMap { change in
            guard let (reference, id) = reference(madeBy: change), let copied = reference.copied, copied.mayBeRead(by: context) else {
                return nil
            }
            return (copied, id)
        }
    }

    /// The id of the record that the write is about.
    func id(of write: Write, as context: RequestContext) -> SQL {
        switch write.record {
        case .id(let id): "\(id)"
        case .external(let id):
            """
            (select named.id from \(unescaped: table) as named where named.tenant_id = \(context.tenant) \
            and named.external_id = \(id) and named.deleted_at is null)
            """
        case nil: "null::uuid"
        }
    }

    private func reference(madeBy change: Change) -> (ResourceCatalogue.Reference, RecordID)? {
        guard case .set(let value) = change.value, value != .null else { return nil }
        return outgoing.lazy.filter { $0.field.name == change.field.name }.compactMap { reference in
            reference.leads(from: value).map { (reference, $0) }
        }.first
    }

    /// - Parameter context: `nil` when whose record it is does not matter, since the reference is there already.
    private func exists(_ reference: ResourceCatalogue.Reference, _ id: SQL, as context: RequestContext?) -> SQL {
        let tenant: SQL = context.map { "\($0.tenant)" } ?? "\(unescaped: table).tenant_id"
        var sql: SQL =
            "exists (select from \(unescaped: reference.target.table) as referred where referred.tenant_id = " + tenant
            + " and referred.id = " + id + " and referred.deleted_at is null"
        if let context, let readable = reference.target.readable(by: context) { sql += " and " + readable }
        return sql + (reference.onDelete == .keep ? ")" : " for share)")
    }

    /// What a restored record gets: references to what was deleted in the meantime are cleared where deletion clears them.
    func assignments(of write: Write) -> [SQL] {
        guard case .restore = write else { return [] }
        let clearing = outgoing.filter { $0.onDelete == .clear }
        return definition.fields.map(\.name).compactMap { name in
            let references = clearing.filter { $0.field.name == name }
            if references.isEmpty { return nil }
            let conditions = references.map { reference -> SQL in
                let isThere = exists(reference, "\(unescaped: reference.id(in: table))", as: nil)
                return reference.type(in: table).map { "\(unescaped: $0) and " + isThere } ?? isThere
            }
            return "\(unescaped: name) = case when " + SQL.joined(conditions, separator: " or ")
                + " then \(unescaped: "\(table).\(name)") end"
        }
    }

    /// That values of an earlier time may come back: what they lead to is there, where its deletion would have had a say, and has not become another
    /// record.
    ///
    /// - Parameter row: an expression for the row that has the values.
    func mayComeBack(_ fields: [String], of row: String) -> [SQL] {
        outgoing.filter { fields.contains($0.field.name) }.compactMap { reference in
            let id = reference.id(in: row)
            let leadsElsewhere = reference.type(in: row).map { "(\($0)) is not true" } ?? "\(id) is null"
            return isThere(reference, "\(unescaped: id)").map { "(\(unescaped: leadsElsewhere) or " + $0 + ")" }
        }
    }

    /// The same of changes, of those that are held to it: the field, and the condition on a row of the table.
    ///
    /// - Parameter others: records that come back themselves.
    func mayComeBack(_ changes: [Change], with others: [RecordID]) -> [(field: String, condition: SQL)] {
        changes.compactMap { change in
            guard let (reference, id) = reference(madeBy: change), !others.contains(id) else { return nil }
            return isThere(reference, "\(id)").map { (change.field.name, $0) }
        }
    }

    private func isThere(_ reference: ResourceCatalogue.Reference, _ id: SQL) -> SQL? {
        if reference.onDelete != .keep { return exists(reference, id, as: nil) }
        guard reference.target.isMergeable else { return nil }
        return """
            not exists (select from \(unescaped: reference.target.table) as referred \
            where referred.tenant_id = \(unescaped: table).tenant_id and referred.id = \(id) and referred.merged_into_id is not null)
            """
    }

    // MARK: What refers to a record

    private func permissions(toDelete id: SQL, as context: RequestContext) -> [SQL] {
        incoming.map { reference in
            switch reference.onDelete {
            case .refuse: "not exists (select " + referring(reference, to: id, as: context) + ")"
            default:
                "(select count(*) from (select " + referring(reference, to: id, as: context)
                    + " limit \(unescaped: String(Self.maximumCleared + 1))) as counted) <= \(unescaped: String(Self.maximumCleared))"
            }
        }
    }

    private func referring(_ reference: ResourceCatalogue.Reference, to id: SQL, as context: RequestContext) -> SQL {
        """
        from \(unescaped: reference.source.table) as referring where referring.tenant_id = \(context.tenant) \
        and \(reference.matches(id, in: "referring")) and referring.deleted_at is null
        """
    }

    /// How many refer to the record, and how many of those the caller may read: of no more than are counted, so it costs no more however many there
    /// are.
    private func counts(_ reference: ResourceCatalogue.Reference, to id: SQL, as context: RequestContext) -> SQL {
        "(select array[count(*), count(*) filter (where is_readable)] from (select ("
            + (reference.source.readable(by: context) ?? "true") + ") as is_readable " + referring(reference, to: id, as: context)
            + " limit \(unescaped: String(Self.maximumCounted + 1))) as counted)"
    }

    /// What a deletion changes beside its own record, as parts of a `with` after `written`.
    func effects(of write: Write, as context: RequestContext) -> [SQL] {
        guard isLockedFirst(write) else { return [] }
        // One for each table: a statement changes a row once, also one that refers to the record by several fields.
        let clearing = Dictionary(grouping: incoming.filter { $0.onDelete == .clear }, by: \.source.table)
        return clearing.sorted { $0.key < $1.key }.map { table, references in
            let matches = references.map { "(" + $0.matches("(select id from written)", in: table) + ")" }
            let assignments = zip(references, matches).map { reference, isReferring -> SQL in
                let field = reference.field.name
                return references.count == 1
                    ? "\(unescaped: field) = null"
                    : "\(unescaped: field) = case when " + isReferring + " then null else \(unescaped: "\(table).\(field)") end"
            }
            return """
                cleared_\(unescaped: table) as (update \(unescaped: table) \
                set version = version + 1, updated_at = now(), updated_by = \(context.user), \(SQL.joined(assignments, separator: ", ")) \
                where tenant_id = \(context.tenant) and (\(SQL.joined(matches, separator: " or "))) and deleted_at is null)
                """
        }
    }

    // MARK: Why a write found no row

    /// Whether each of the conditions holds; of a deletion how many refer to the record. For ``refusal(of:_:from:as:)``.
    func answers(about write: Write, as context: RequestContext) -> [SQL] {
        if isLockedFirst(write) {
            let id = id(of: write, as: context)
            return incoming.map { counts($0, to: id, as: context) }
        }
        return leads(of: write, as: context).map { "coalesce(" + $0.sql + ", false)" }
    }

    /// What the answers mean; `nil` when all conditions hold by now.
    ///
    /// - Parameter first: where they begin in the row.
    func refusal(of write: Write, _ row: PostgresRow, from first: Int, as context: RequestContext) throws -> Problem? {
        if isLockedFirst(write) { return try refusal(counts: row, from: first) }
        var faults: [Problem.Fault] = []
        for (index, condition) in leads(of: write, as: context).enumerated() {
            if try row.decode(first + index, as: Bool.self) { continue }
            faults.append(fault(of: condition))
        }
        return faults.first.map { Problem(.referenceNotFound, $0.detail, faults: faults) }
    }

    /// That the condition does not hold, as the caller is told it.
    private func fault(of condition: Condition) -> Problem.Fault {
        guard view.isHidden(condition.reference.field) else { return condition.fault }
        return .init(pointer: "", code: .referenceNotFound, detail: "A record that it refers to is not there.")
    }

    /// Whoever's records refer to it, it is not deleted; counted are those that the caller may read, among the first that refer to it, and of the
    /// others it is told that there are some.
    private func refusal(counts: PostgresRow, from first: Int) throws -> Problem? {
        var reasons: [String] = []
        var members: [JSON] = []
        for (index, reference) in incoming.enumerated() {
            let found = try counts.decode(first + index, as: [Int].self)
            let (all, count) = (found[0], found[1])
            guard all > (reference.onDelete == .refuse ? 0 : Self.maximumCleared) else { continue }
            let shown = count > Self.maximumCounted ? "more than \(Self.maximumCounted)" : String(count)
            var reason = "\(shown) \(count == 1 ? reference.source.noun : reference.source.nouns)"
            var member = JSONObject()
            member["resource"] = .string(reference.source.name)
            if view.rules[reference.source.name][reference.field.name] != .hidden {
                reason += " by \(reference.field.name)"
                member["field"] = .string(reference.field.name)
            }
            member["count"] = .number(min(count, Self.maximumCounted))
            member["others"] = .bool(all > count)
            reasons.append(reason + (all > count ? " and others that you may not see" : ""))
            members.append(.object(member))
        }
        if reasons.isEmpty { return nil }
        return Problem(.conflict, "It is still referred to: \(reasons.joined(separator: ", ")).", members: [("referring", .array(members))])
    }
}
