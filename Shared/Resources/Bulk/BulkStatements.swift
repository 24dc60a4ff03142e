import Core
import Postgres

/// The SQL of a step of a bulk act, in one transaction: that the act still goes on, the locks of the step's records, and one statement or
/// one for each record that writes, keeps what it takes to undo it, and counts. What writes is what a request's own statement is made of.
struct BulkStatements: Sendable {
    let statements: ResourceStatements
    let act: RecordID
    let context: RequestContext

    private var table: String { statements.table }
    private var tenant: TenantID { context.tenant }
    private var isAct: SQL { "tenant_id = \(tenant) and id = \(act)" }

    /// A record of the step, as it was found.
    struct Found: Sendable {
        let id: RecordID
        let version: Int64
        let place: Cursor
    }

    // MARK: The act itself

    /// Holds the act until the end of the transaction, if it is to go on: it waits for who cancels it, and he for the step.
    var beginning: SQL {
        "update bulk_act set status = 'running' where \(isAct) and status in ('queued', 'running')"
    }

    private var goesOn: SQL { "exists (select from bulk_act where \(isAct) and status = 'running')" }

    func ending(_ status: String, reason: String? = nil) -> SQL {
        """
        update bulk_act set status = \(status), reason = \(reason.sqlValue), ended_at = now() \
        where \(isAct) and status in ('queued', 'running', 'reverting')
        """
    }

    func lock(_ records: [Found]) -> SQL {
        statements.lock(Set(records.map { .id($0.id) }), as: context)
    }

    // MARK: Forward

    func writing(_ request: BulkRequest, _ records: [Found]) -> [SQL] {
        switch request.act {
        case .change(let changes): [changing(changes, records, under: request.list)]
        case .delete: records.map(deleting)
        }
    }

    /// Changes the records that the filter still finds.
    private func changing(_ changes: [Change], _ records: [Found], under list: ListRequest) -> SQL {
        let ids = records.map(\.id)
        let write = Write.update(.id(act), changes, .none)
        let difference = statements.difference(changes)
        let wanted: [SQL] = ["deleted_at is null"] + list.conditions(of: statements.view, as: context).map(\.sql)
        let names = changes.map(\.field.name) + statements.conditions.states.followers(of: changes)
        let before = names.map { "'\($0)', \($0)" }.joined(separator: ", ")
        let held = statements.conditions.kinds(of: write, as: context)
        let conditions = wanted + ["(" + difference + ")", goesOn] + held.flatMap(\.conditions)
        let isTarget: SQL = "tenant_id = \(tenant) and id = any(\(ids)::uuid[])"
        let reasons = held.filter { !$0.conditions.isEmpty }.map { kind -> SQL in
            " when not coalesce(" + SQL.joined(kind.conditions, separator: " and ") + ", false) then '\(unescaped: kind.code.rawValue)'"
        }
        let isSkipped: SQL = "not coalesce(" + SQL.joined(wanted + ["(" + difference + ")"], separator: " and ") + ", false)"
        return """
            with before as (select id, jsonb_build_object(\(unescaped: before)) as members from \(unescaped: table) where \(isTarget)), \
            written as (\(statements.changed(changes.map(statements.assignment) + statements.conditions.states.assignments(of: changes), by: context)) \
            where \(isTarget) and \(SQL.joined(conditions, separator: " and ")) returning id, version), \
            noted as (insert into bulk_act_record (tenant_id, act_id, record_id, version, before) \
            select \(tenant), \(act), written.id, written.version, before.members from written join before on before.id = written.id), \
            rest as (select case when \(isSkipped) then null\(SQL.joined(reasons, separator: "")) end as reason from \(unescaped: table) \
            where \(isTarget) and not exists (select from written where written.id = \(unescaped: table).id)) \
            \(counting(records.count, behind: records[records.count - 1].place))
            """
    }

    private func deleting(_ record: Found) -> SQL {
        let write = Write.delete(.id(record.id), .versions([record.version]))
        let deletion: SQL =
            statements.deletion(of: .id(record.id), .versions([record.version]), write, as: context) + " and " + goesOn + " returning id"
        let parts = ["written as (" + deletion + ")"] + statements.references.effects(of: write, as: context)
        return "with " + SQL.joined(parts, separator: ", ") + """
            , noted as (insert into bulk_act_record (tenant_id, act_id, record_id, version) \
            select \(tenant), \(act), id, \(record.version + 1) from written), \
            rest as (select 'conflict' as reason from \(unescaped: table) where tenant_id = \(tenant) and id = \(record.id) \
            and deleted_at is null and version = \(record.version)\(statements.scope(of: context)) \
            and not exists (select from written)) \
            \(counting(1, behind: record.place))
            """
    }

    /// Counts a record that the database refused.
    func failing(_ record: Found, _ code: String) -> SQL {
        "with written as (select where false), rest as (select \(code)::text as reason) " + counting(1, behind: record.place)
    }

    /// What has become of so many records: those of `written` are changed, those of `rest` with a reason have failed, others are skipped.
    private func counting(_ records: Int, behind place: Cursor) -> SQL {
        """
        , \(Self.counted), \
        sums as (select (select count(*) from written) as changed, coalesce((select sum(records) from counted), 0)::bigint as failed) \
        update bulk_act set place = \(place.json)::jsonb, matched = matched + \(records), changed = bulk_act.changed + sums.changed, \
        failed = bulk_act.failed + sums.failed, skipped = skipped + \(records) - sums.changed - sums.failed, \
        reasons = \(Self.added(to: "reasons")) from sums where tenant_id = \(tenant) and id = \(act) and status = 'running'
        """
    }

    /// How many of `rest` there are for which reason.
    private static let counted: SQL =
        "counted as (select reason, count(*) as records from rest where reason is not null group by reason)"

    /// The column's numbers by reason with those of `counted`.
    private static func added(to column: String) -> SQL {
        """
        (select coalesce(jsonb_object_agg(reason, records), '{}') from (select reason, sum(records) as records from (\
        select key as reason, value::bigint as records from jsonb_each_text(bulk_act.\(unescaped: column)) \
        union all select reason, records from counted) as each_one group by reason) as merged)
        """
    }

    // MARK: Back

    /// The next records that the act has changed and that are not back yet.
    var changedRecords: SQL {
        """
        select record_id, version from bulk_act_record where tenant_id = \(tenant) and act_id = \(act) \
        order by record_id limit \(unescaped: String(BulkRequest.step))
        """
    }

    /// Locks the records of a step back, whoever's they are by the act.
    func lockChanged(_ records: [Found]) -> SQL {
        """
        select from \(unescaped: table) where tenant_id = \(tenant) and id = any(\(records.map(\.id).sorted())::uuid[]) \
        order by id for no key update
        """
    }

    /// Puts the members back that the act has changed, where nothing was changed since, and what they refer to is there.
    ///
    /// - Parameter fields: those members.
    func puttingBack(_ fields: [String], _ records: [Found]) -> SQL {
        let ids = records.map(\.id)
        let assignments = fields.map { "\($0) = (undo.members).\($0)" }.joined(separator: ", ")
        let reach = reachBack(fields)
        let isWhole = statements.references.mayComeBack(fields, of: "(undo.members)")
        let conditions = [Self.isUntouched] + (reach.map { [$0] } ?? []) + isWhole
        return """
            with \(undo(ids)), back as (update \(unescaped: table) set version = version + 1, updated_at = now(), updated_by = \(context.user), \
            \(unescaped: assignments) from undo where tenant_id = \(tenant) and id = undo.record_id and id = any(\(ids)::uuid[]) \
            and \(SQL.joined(conditions, separator: " and ")) returning id)
            """ + settling(ids, Self.isUntouched, reach)
    }

    private static let isUntouched: SQL = "version = undo.own_version and deleted_at is null"

    /// What the act has noted of the records.
    private func undo(_ ids: [RecordID]) -> SQL {
        """
        undo as materialized (select record_id, version as own_version, \
        jsonb_populate_record(null::\(unescaped: table), before) as members from bulk_act_record \
        where tenant_id = \(tenant) and act_id = \(act) and record_id = any(\(ids)::uuid[]))
        """
    }

    /// Which records are the caller's to change back; `nil` for all. Of an act of his own also those that it has given away, as they come back to
    /// somebody whose records he reaches.
    private func reachBack(_ fields: [String]) -> SQL? {
        let definition = statements.definition
        guard let reach = definition.reach(of: context) else { return nil }
        let former = definition.ownerKey(of: "(undo.members).")
        guard fields.contains(definition.owner), let reached = definition.reach(of: context, owner: "\(unescaped: former)") else {
            return reach
        }
        return "(" + reach + " or " + reached
            + " and exists (select from bulk_act where \(isAct) and bulk_act.created_by = \(context.user)))"
    }

    /// Restores a record that the act has deleted, where nothing was changed since.
    func restoring(_ record: Found) -> SQL {
        let write = Write.restore(id: record.id, .versions([record.version]))
        return "with " + undo([record.id]) + ", back as ("
            + statements.restoration(of: record.id, .versions([record.version]), write, as: context) + " returning id)"
            + settling([record.id], "version = undo.own_version and deleted_at is not null", statements.definition.reach(of: context))
    }

    /// Counts a record that the database refused to put back.
    func leaving(_ record: Found, _ code: String) -> SQL {
        "with back as (select where false), rest as (select \(code)::text as reason)" + settled([record.id])
    }

    /// Counts what has become of the records, and why those that are not of `back` were kept as they are.
    private func settling(_ ids: [RecordID], _ isUntouched: SQL, _ reach: SQL?) -> SQL {
        let isOthers = reach.map { " when not coalesce(" + $0 + ", false) then '\(unescaped: ErrorCode.notFound.rawValue)'" } ?? ""
        return """
            , rest as (select case when not coalesce(\(isUntouched), false) then '\(unescaped: ErrorCode.versionMismatch.rawValue)'\(isOthers) \
            else '\(unescaped: ErrorCode.referenceNotFound.rawValue)' end as reason \
            from undo left join \(unescaped: table) on tenant_id = \(tenant) and id = undo.record_id \
            where not exists (select from back where back.id = undo.record_id))
            """ + settled(ids)
    }

    private func settled(_ ids: [RecordID]) -> SQL {
        """
        , settled as (delete from bulk_act_record where tenant_id = \(tenant) and act_id = \(act) \
        and record_id = any(\(ids)::uuid[]) returning record_id), \(Self.counted), \
        sums as (select (select count(*) from back) as reverted, (select count(*) from settled) as records) \
        update bulk_act set reverted = bulk_act.reverted + sums.reverted, kept = kept + sums.records - sums.reverted, \
        kept_reasons = \(Self.added(to: "kept_reasons")) from sums where tenant_id = \(tenant) and id = \(act)
        """
    }
}
