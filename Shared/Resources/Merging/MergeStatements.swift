import Core
import Postgres

/// The SQL of merging records into one of them, and of undoing that.
struct MergeStatements: Sendable {
    /// So many records of a table are moved by one statement.
    static let step = 500
    /// How long a merge can be undone.
    static let days = 30

    let definition: ResourceDefinition
    /// What refers to the resource's records, a table's references together: a statement changes a row once, whatever refers in it.
    let references: [[ResourceCatalogue.Reference]]

    private var table: String { definition.table }

    init(_ definition: ResourceDefinition, among catalogue: ResourceCatalogue) {
        self.definition = definition
        references = Dictionary(grouping: catalogue.references(to: definition), by: \.source.table).sorted { $0.key < $1.key }.map(\.value)
    }

    // MARK: Reading

    /// Locks the records and gives them in the order of their ids: of two merges that cross, the second sees what the first has made of them. The
    /// state comes first (``LockedRecord``), then all columns.
    func lock(_ ids: SQL, as context: RequestContext) -> SQL {
        let scope = definition.reach(of: context).map { " and " + $0 } ?? ""
        return """
            select id, version, deleted_at is not null, merged_into_id, \(unescaped: definition.fields.map(\.name).joined(separator: ", ")) \
            from \(unescaped: table) where tenant_id = \(context.tenant) and id = any(\(ids))\(scope) order by id for no key update
            """
    }

    func state(of row: PostgresRow) throws -> LockedRecord {
        var values = TakeOver.Values()
        for (place, field) in definition.fields.enumerated() { values[field.name] = row.text(4 + place) }
        return LockedRecord(
            id: try row.decode(0), version: try row.decode(1), isDeleted: try row.decode(2), mergedInto: try row.decode(3), values: values)
    }

    /// Where the records are a tree, and the survivor is below some that are merged into it: what the highest of these is below. No row where it is
    /// below none of them. What is above may have become one of them already, with what is below it still to be moved.
    func place(of survivor: RecordID, among ids: [RecordID], as context: RequestContext) -> SQL? {
        guard let parent = parent?.name else { return nil }
        return """
            with recursive above (id, parent, level) as (\
            select id, \(unescaped: parent), 0 from \(unescaped: table) where tenant_id = \(context.tenant) and id = \(survivor) \
            union all select next.id, next.parent, level + 1 from above cross join lateral (\
            select id, case when merged_into_id is null then \(unescaped: parent) else merged_into_id end as parent \
            from \(unescaped: table) where tenant_id = \(context.tenant) and id = above.parent offset 0\
            ) as next where level < 60) \
            select parent from above where id = any(\(ids)::uuid[]) order by level desc limit 1
            """
    }

    /// The field by which the records are a tree.
    var parent: Field? { definition.fields.first { if case .reference(.parent) = $0.kind { true } else { false } } }

    // MARK: A merge

    func insert(_ merge: RecordID, of ids: [RecordID], into survivor: RecordID, as context: RequestContext) -> SQL {
        """
        insert into merge (tenant_id, id, resource, survivor_id, merged_ids, created_by) \
        values (\(context.tenant), \(merge), \(definition.name), \(survivor), \(ids), \(context.user)) \
        returning \(Self.columns)
        """
    }

    /// What an answer shows of a merge (``Merge``).
    static let columns: SQL = "id, survivor_id, merged_ids, created_at, created_by, undone_at, undone_by"

    /// Keeps what the merge has changed of the survivor.
    func keep(_ changes: JSON, of merge: RecordID, as context: RequestContext) -> SQL {
        "update merge set changes = \(changes)::jsonb where tenant_id = \(context.tenant) and id = \(merge)"
    }

    /// Moves references to the survivor, those of ``step`` records of each table that refers, whoever's they are, and writes down which: a row for
    /// each field, with how many.
    ///
    /// - Parameter isLive: whether those of live records, which an index finds; else of deleted ones, which are gone through.
    func moves(of merge: RecordID, _ ids: [RecordID], into survivor: RecordID, isLive: Bool = true, as context: RequestContext) -> [SQL] {
        references.map { move($0, of: merge, ids, into: survivor, isLive, as: context) }
    }

    private func move(
        _ references: [ResourceCatalogue.Reference], of merge: RecordID, _ ids: [RecordID], into survivor: RecordID, _ isLive: Bool,
        as context: RequestContext
    ) -> SQL {
        let (source, tenant) = (references[0].source, "\(context.tenant)" as SQL)
        let name = source.table
        let ids: SQL = "\(ids)::uuid[]"
        func isMoved(_ reference: ResourceCatalogue.Reference) -> SQL {
            "(\(unescaped: reference.id(in: name)) = any(" + ids + ")" + (reference.type(in: name).map { " and \(unescaped: $0)" } ?? "")
                + ")"
        }
        let keys = references.enumerated().map { index, reference -> SQL in
            "case when " + isMoved(reference) + " then \(unescaped: reference.id(in: name)) end as from_\(unescaped: String(index))"
        }
        let assignments = references.enumerated().map { index, reference -> SQL in
            let field = reference.field.name
            return
                "\(unescaped: field) = case when chosen.from_\(unescaped: String(index)) is null then \(unescaped: "\(name).\(field)") else "
                + value(survivor, of: reference) + " end"
        }
        let kept = references.enumerated().map { index, reference -> SQL in
            let from = "from_\(index)"
            return
                "select \(tenant)::uuid, \(merge)::uuid, '\(unescaped: source.name)', '\(unescaped: reference.field.name)', \(unescaped: from), "
                + "array_agg(id) from moved where \(unescaped: from) is not null group by \(unescaped: from)"
        }
        // What becomes one does not refer to itself.
        let others: SQL = source.table == table ? " and id <> all(" + ids + " || \(survivor)::uuid)" : ""
        return """
            with chosen as materialized (select id, \(SQL.joined(keys, separator: ", ")) from \(unescaped: name) \
            where tenant_id = \(tenant) and deleted_at is \(unescaped: isLive ? "null" : "not null") \
            and (\(SQL.joined(references.map(isMoved), separator: " or ")))\(others) \
            and exists (select from merge where tenant_id = \(tenant) and id = \(merge) and undone_at is null) \
            limit \(unescaped: String(Self.step)) for no key update), \
            moved as (update \(unescaped: name) set version = version + 1, updated_at = now(), updated_by = \(context.user), \
            \(SQL.joined(assignments, separator: ", ")) from chosen \
            where \(unescaped: name).tenant_id = \(tenant) and \(unescaped: name).id = chosen.id returning chosen.*) \
            insert into merge_move (tenant_id, merge_id, source, field, from_id, ids) \
            \(SQL.joined(kept, separator: " union all ")) returning cardinality(ids)
            """
    }

    private func value(_ id: RecordID, of reference: ResourceCatalogue.Reference) -> SQL {
        reference.field.type.isRelated ? "row('\(unescaped: definition.singular)', \(id)::uuid)::record_reference" : "\(id)::uuid"
    }

    // MARK: Behind it

    /// The merge, held against being undone meanwhile: survivor, those that were merged into it, whether it was undone, whether it has just been made.
    func follow(_ merge: RecordID, as context: RequestContext) -> SQL {
        """
        select survivor_id, merged_ids, undone_at is not null, created_at > now() - interval '\(unescaped: String(MergeFollowing.delay)) seconds' \
        from merge where tenant_id = \(context.tenant) and id = \(merge) for share
        """
    }

    /// Asks for what follows the merge by which the survivor has become another record itself, if it has: what is moved to it goes on from there. Each
    /// merge moves what it has moved itself, so that they can be undone one after the other.
    func goOn(from survivor: RecordID, as context: RequestContext) -> SQL {
        """
        select enqueue_job('\(unescaped: MergeFollowing.kind)', jsonb_build_object('resource', merge.resource, 'merge', merge.id), merge.id::text) \
        from \(unescaped: table) as survivor join merge on merge.tenant_id = survivor.tenant_id and merge.survivor_id = survivor.merged_into_id \
        where survivor.tenant_id = \(context.tenant) and survivor.id = \(survivor) and survivor.id = any(merge.merged_ids) \
        and merge.undone_at is null
        """
    }

    // MARK: Its end

    /// The merge, locked, if it is one of the survivor's: what an answer shows, then whether it is too late, what it has changed, and whether something
    /// still comes back to the survivor, from what it was merged into.
    func find(_ merge: RecordID, of survivor: RecordID, as context: RequestContext) -> SQL {
        """
        select \(Self.columns), created_at < now() - interval '\(unescaped: String(Self.days)) days', changes, \
        exists (select from merge as later where later.tenant_id = \(context.tenant) and later.undone_at is not null \
        and merge.survivor_id = any(later.merged_ids) \
        and exists (select from merge_move where tenant_id = \(context.tenant) and merge_id = later.id)) from merge \
        where tenant_id = \(context.tenant) and id = \(merge) and resource = \(definition.name) and survivor_id = \(survivor) for no key update
        """
    }

    /// The ids of those that become single again, and of the survivor.
    func members(of merge: RecordID, with survivor: RecordID, as context: RequestContext) -> SQL {
        """
        array(select unnest(merged_ids) from merge where tenant_id = \(context.tenant) and id = \(merge) and survivor_id = \(survivor) \
        union all select \(survivor)::uuid)
        """
    }

    func end(_ merge: RecordID, as context: RequestContext) -> SQL {
        """
        update merge set undone_at = now(), undone_by = \(context.user) where tenant_id = \(context.tenant) and id = \(merge) \
        returning \(Self.columns)
        """
    }

    /// Some of what was moved, the tree's own first: without that a record that comes back might be above itself.
    func moved(by merge: RecordID, limit: Int, as context: RequestContext) -> SQL {
        """
        select id, source, field, from_id, ids from merge_move where tenant_id = \(context.tenant) and merge_id = \(merge) \
        order by source <> \(definition.name), id limit \(unescaped: String(limit))
        """
    }

    /// Moves the references of one row back where they still lead to the survivor, and forgets them.
    func moveBack(_ move: MergeMove, from survivor: RecordID, as context: RequestContext) -> [SQL] {
        let forget: SQL = "delete from merge_move where tenant_id = \(context.tenant) and id = \(move.id)"
        let known = references.lazy.flatMap(\.self).first { $0.source.name == move.source && $0.field.name == move.field }
        // A release may have taken the field away.
        guard let known else { return [forget] }
        let name = known.source.table
        return [
            """
            update \(unescaped: name) set version = version + 1, updated_at = now(), updated_by = \(context.user), \
            \(unescaped: move.field) = \(value(move.from, of: known)) \
            where tenant_id = \(context.tenant) and id = any(\(move.ids)::uuid[]) and \(known.matches("\(survivor)", in: name))
            """,
            forget,
        ]
    }

    // MARK: Lists

    /// The merges of a record that can be told of, the newest first; of those that were merged into it the ids that the caller may read.
    func list(of survivor: RecordID, after position: (Timestamp, RecordID)?, limit: Int, as context: RequestContext) -> SQL {
        let scope = definition.reach(of: context).map { " and " + $0 } ?? ""
        let behind: SQL = position.map { " and (created_at, id) < (\($0.0), \($0.1))" } ?? ""
        return """
            select id, survivor_id, array(\
            select id from \(unescaped: table) where tenant_id = \(context.tenant) and id = any(merge.merged_ids)\(scope) order by id\
            ), created_at, created_by, undone_at, undone_by \
            from merge where tenant_id = \(context.tenant) and survivor_id = \(survivor) and resource = \(definition.name)\(behind) \
            order by created_at desc, id desc limit \(limit)
            """
    }
}

extension ResourceStatements {
    /// The record that the one of this key is by now, after one merge or several; only if the caller may read both.
    func survivor(of record: RecordKey, as context: RequestContext) -> SQL {
        let scope = scope(of: context)
        // Another system's id is first of all the live record's; and of several that had it, the last one's.
        let isFree: SQL =
            if case .external = record {
                " and not exists (select from \(unescaped: table) where " + key(record, context) + " and deleted_at is null)"
            } else { "" }
        return """
            with recursive trail (id, step) as (\
            (select merged_into_id, 1 from \(unescaped: table) where \(key(record, context)) and deleted_at is not null \
            and merged_into_id is not null\(scope)\(isFree) order by updated_at desc, id limit 1) \
            union all select next.merged_into_id, step + 1 from trail cross join lateral (\
            select merged_into_id from \(unescaped: table) where tenant_id = \(context.tenant) and id = trail.id offset 0\
            ) as next where next.merged_into_id is not null and step < 100) \
            select id from \(unescaped: table) where tenant_id = \(context.tenant) and deleted_at is null\(scope) \
            and id = (select id from trail order by step desc limit 1)
            """
    }
}

/// A record of those that are to become one, locked.
struct LockedRecord: Sendable {
    let id: RecordID
    let version: Int64
    let isDeleted: Bool
    let mergedInto: RecordID?
    let values: TakeOver.Values
}

/// References that a merge has moved.
struct MergeMove: Sendable {
    let id: RecordID
    let source: String
    let field: String
    let from: RecordID
    let ids: [RecordID]

    init(_ row: PostgresRow) throws {
        id = try row.decode(0)
        source = try row.decode(1)
        field = try row.decode(2)
        from = try row.decode(3)
        ids = try row.decode(4)
    }
}
