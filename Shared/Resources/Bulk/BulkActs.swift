import Core
import Postgres

/// Acts on all records of a resource that a filter finds: the routes below each resource's path, and the steps that do them in the
/// background (Shared/Decisions/0034).
///
/// Each step is one transaction of up to a hundred records, with the place behind which the next one goes on: after a kill nothing is skipped
/// or done twice. It holds the caller to what he may do at that moment.
public struct BulkActs: Sendable {
    /// What a job of the queue must know.
    public struct Work: Codable, Sendable {
        /// The act's id.
        let act: String
        let undoes: Bool

        init(_ act: RecordID, undoes: Bool) {
            self.act = act.description
            self.undoes = undoes
        }
    }

    /// The queue that does the work.
    public struct Queue: Sendable {
        /// Asks for the work; a statement that gives the job's `id`.
        let enqueue: @Sendable (Work) throws -> SQL
        /// Stops the job.
        let cancel: @Sendable (_ job: RecordID, TenantID) -> SQL

        public init(
            enqueue: @escaping @Sendable (Work) throws -> SQL, cancel: @escaping @Sendable (_ job: RecordID, TenantID) -> SQL
        ) {
            self.enqueue = enqueue
            self.cancel = cancel
        }
    }

    let resources: [Resource]
    let postgres: PostgresClient
    let queue: Queue

    public init(of resources: [Resource], postgres: PostgresClient, queue: Queue) {
        self.resources = resources
        self.postgres = postgres
        self.queue = queue
    }

    public var routes: [Route] { resources.flatMap { [begin($0), get($0), cancel($0), revert($0)] } }

    // MARK: Asking

    private func begin(_ resource: Resource) -> Route {
        let definition = resource.definition
        return .permitted(
            resource.permission(.read), .post, "\(definition.path)/bulk", BulkDocuments(definition).begin
        ) { call, context in
            try call.query.allowOnly([])
            let access = resource.access(of: context)
            let json = try call.json()
            let key = try IdempotencyKey(call, body: json)
            let request = try BulkRequest(json, of: access, as: context)
            return try await access.guarding(key, as: context, replay: \.reply) {
                try await access.confirm(request.members, request.act.changes, as: context)
                let total = try await access.store.count(
                    request.list, upTo: BulkRequest.maximum, as: context)
                guard total <= BulkRequest.maximum else {
                    let detail = "The filter finds more than \(BulkRequest.maximum) records, the most of one act."
                    throw Problem.invalid([.init(pointer: "/filter", code: .tooMany, detail: detail)])
                }
                if request.isTrial {
                    let found = try await access.store.found(request.list, as: context)
                    let sample = found.prefix(Self.sample).map { JSON.string($0.id.description) }
                    return .json(["matched": .number(total), "sample": .array(sample)])
                }
                return try await begin(json, of: definition, total, key, as: context)
            }
        }
    }

    /// Ids that a trial shows.
    static let sample = 10

    private func begin(
        _ json: JSON, of definition: ResourceDefinition, _ total: Int, _ key: IdempotencyKey?, as context: RequestContext
    ) async throws -> Reply {
        let (id, now) = (RecordID(), Timestamp.now)
        let (filter, change) = (json["filter"] ?? .null, json["change"])
        let act = BulkAct(
            id: id, resource: definition.name, filter: filter, change: change, total: Int64(total),
            createdAt: now, by: context.user)
        let body = act.json.bytes
        let work = try queue.enqueue(Work(id, undoes: false))
        let insertion: SQL = """
            insert into bulk_act (tenant_id, id, resource, filter, change, total, created_at, created_by, job_id) \
            select \(context.tenant), \(id), \(definition.name), \(filter)::jsonb, \(change.sqlValue)::jsonb, \(total), \(now), \(context.user), \
            job.id from (\(work)) as job
            """
        let kept = key.map { [$0.insertion(as: context, status: 202, body: body)] } ?? []
        _ = try await postgres.batch(as: context, [insertion] + kept)
        return .json(body, status: 202)
    }

    private func get(_ resource: Resource) -> Route {
        let definition = resource.definition
        return .permitted(
            resource.permission(.read), .get, "\(definition.path)/bulk/{id}", BulkDocuments(definition).get
        ) { call, context in
            try call.query.allowOnly([])
            return .json(try await find(try call.id(), of: definition, as: context).json)
        }
    }

    /// - Throws: ``Problem`` `not_found` unless the caller has asked for it, or administers the resource.
    private func find(_ id: RecordID, of definition: ResourceDefinition, as context: RequestContext) async throws -> BulkAct {
        let isAdmin = context.permissions.contains(Permission(definition.permissions, .admin))
        let row = try await batch([BulkAct.query(id, of: definition.name, as: context)], as: context)[0].first
        guard let row, case let act = try BulkAct(row: row), act.createdBy == context.user || isAdmin else { throw Problem.notFound }
        // What somebody else has asked by may be hidden from this one.
        return act.createdBy == context.user || context.fields.isEmpty ? act : act.withoutRequest
    }

    private func batch(_ statements: [SQL], as context: RequestContext) async throws -> [PostgresResult] {
        do {
            return try await postgres.batch(as: context, statements)
        } catch let error as PostgresError {
            throw error.problem
        }
    }

    // MARK: Stopping and undoing

    private func cancel(_ resource: Resource) -> Route {
        changing(resource, "cancel", { BulkDocuments($0).cancel }) { act, context in
            [
                """
                update bulk_act set status = 'cancelled', ended_at = now() \
                where tenant_id = \(context.tenant) and id = \(act.id) and status in ('queued', 'running')
                """, queue.cancel(act.job, context.tenant),
            ]
        } refusal: { act in
            Problem(.conflict, "The act is \(act.status): only one that waits or runs can be cancelled.")
        }
    }

    private func revert(_ resource: Resource) -> Route {
        changing(resource, "revert", { BulkDocuments($0).revert }) { act, context in
            try context.require(Permission(resource.definition.permissions, act.deletes ? .delete : .update))
            // What the table does beside such a field is not among what was kept.
            if let field = resource.definition.fields.first(where: { $0.isSetByTable && act.change?[$0.name] != nil }) {
                throw Problem(
                    .conflict, "A change of \(field.name) brings others with it, and is not undone: change it back by another act.")
            }
            let undoing = try queue.enqueue(Work(act.id, undoes: true))
            return [
                """
                update bulk_act set status = 'reverting', ended_at = null, reason = null, \
                job_id = (select job.id from (\(undoing)) as job) \
                where tenant_id = \(context.tenant) and id = \(act.id) and (status in ('succeeded', 'failed', 'cancelled') \
                or exists (select from job where job.tenant_id = bulk_act.tenant_id and job.id = bulk_act.job_id and job.status = 'failed'))
                """
            ]
        } refusal: { act in
            Problem(
                .conflict,
                "The act is \(act.status): only one that has ended, and was not undone, can be undone.")
        }
    }

    /// - Parameters:
    ///   - statements: of which the first changes the act, or finds none to be changed.
    ///   - refusal: why it has found none.
    private func changing(
        _ resource: Resource, _ verb: String, _ operation: (ResourceDefinition) -> Operation,
        _ statements: @escaping @Sendable (BulkAct, RequestContext) throws -> [SQL],
        refusal: @escaping @Sendable (BulkAct) -> Problem
    ) -> Route {
        let definition = resource.definition
        let path = "\(definition.path)/bulk/{id}/\(verb)"
        return .permitted(resource.permission(.read), .post, path, operation(definition)) {
            call, context in
            try call.query.allowOnly([])
            try call.refuseBody()
            let id: RecordID = try call.id()
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: context, on: postgres) {
                let act = try await find(id, of: definition, as: context)
                let batch = try statements(act, context) + [BulkAct.query(id, of: definition.name, as: context)]
                do {
                    return try await postgres.transaction(as: context) { transaction in
                        let results = try await transaction.batch(batch)
                        let after = try BulkAct(row: results[results.count - 1][0])
                        guard results[0].affectedRows == 1 else { throw refusal(after) }
                        let body = after.json.bytes
                        if let key {
                            _ = try await transaction.query(key.insertion(as: context, status: 202, body: body))
                        }
                        return .json(body, status: 202)
                    }
                } catch let error as PostgresError {
                    throw error.problem
                }
            }
        }
    }

    // MARK: Doing it

    /// Does a step of the work.
    ///
    /// - Parameters:
    ///   - context: who has asked, with what he may do now; without permissions when he may do nothing any more.
    ///   - write: runs statements as one transaction of the job.
    /// - Returns: whether that was all.
    public func step(_ work: Work, as context: RequestContext, write: ([SQL]) async throws -> [PostgresResult]) async throws -> Bool {
        guard let id = RecordID(work.act),
            let row = try await postgres.batch(as: context, [BulkAct.query(id, of: nil, as: context)])[0].first,
            case let act = try BulkAct(row: row), let resource = resources.first(where: { $0.definition.name == act.resource }),
            work.undoes ? act.status == "reverting" : ["queued", "running"].contains(act.status)
        else { return true }
        let access = resource.access(of: context)
        let statements = BulkStatements(statements: access.store.statements, act: act.id, context: context)
        do {
            let request = try BulkRequest(filter: act.filter, change: act.change, of: access, as: context)
            if work.undoes { return try await back(request, access, statements, as: context, write) }
            try await access.confirm(request.members, request.act.changes, as: context)
            return try await forward(act, request, access, statements, as: context, write)
        } catch let problem as Problem where problem.code.status < 500 {
            // What was allowed when it was asked for is not any more.
            _ = try await write([statements.ending("failed", reason: problem.code.rawValue)])
            return true
        }
    }

    private func forward(
        _ act: BulkAct, _ request: BulkRequest, _ access: ResourceAccess, _ statements: BulkStatements, as context: RequestContext,
        _ write: ([SQL]) async throws -> [PostgresResult]
    ) async throws -> Bool {
        var list = request.list
        // What is made meanwhile was not asked for.
        list.conditions.append(Condition("created_at <= \(act.madeUntil)", .range(of: "created_at")))
        list.cursor = act.place
        let room = Int64(BulkRequest.maximum) - act.matched
        let found = room > 0 ? Array(try await access.store.found(list, as: context).prefix(Int(room))) : []
        guard !found.isEmpty else {
            _ = try await write([statements.ending("succeeded")])
            return true
        }
        try await eachOrAll(found, access, as: context) { records in
            _ = try await write(
                [statements.beginning, statements.lock(records)] + statements.writing(request, records))
        } failing: { record, code in
            _ = try await write([statements.beginning, statements.failing(record, code)])
        }
        return false
    }

    private func back(
        _ request: BulkRequest, _ access: ResourceAccess, _ statements: BulkStatements, as context: RequestContext,
        _ write: ([SQL]) async throws -> [PostgresResult]
    ) async throws -> Bool {
        let found = try await postgres.batch(as: context, [statements.changedRecords])[0].map { row in
            BulkStatements.Found(
                id: try row.decode(0), version: try row.decode(1), place: Cursor(value: nil, id: nil))
        }
        guard !found.isEmpty else {
            _ = try await write([statements.ending("reverted")])
            return true
        }
        try await eachOrAll(found, access, as: context) { records in
            let putting: [SQL]
            switch request.act {
            case .change(let changes):
                let fields = changes.map(\.field.name) + access.store.statements.conditions.states.followers(of: changes)
                putting = [statements.puttingBack(fields, records)]
            case .delete: putting = records.map(statements.restoring)
            }
            _ = try await write([statements.lockChanged(records)] + putting)
        } failing: { record, code in
            _ = try await write([statements.leaving(record, code)])
        }
        return false
    }

    /// Writes all records together, or where the database refuses one of them, each by itself.
    private func eachOrAll(
        _ records: [BulkStatements.Found], _ access: ResourceAccess, as context: RequestContext,
        _ write: ([BulkStatements.Found]) async throws -> Void, failing: (BulkStatements.Found, String) async throws -> Void
    ) async throws {
        do {
            return try await write(records)
        } catch let error as PostgresError where error.isRefusalOfARecord {}
        for record in records {
            do {
                try await write([record])
            } catch let error as PostgresError where error.isRefusalOfARecord {
                let problem = try await access.store.problem(
                    for: error, of: .update(.id(record.id), [], .none), as: context)
                try await failing(record, problem.code.rawValue)
            }
        }
    }
}

extension PostgresError {
    /// Whether a rule of the table, a value that is taken or the plan's limit has refused it.
    fileprivate var isRefusalOfARecord: Bool {
        sqlState.map { $0.hasPrefix("23") || $0 == "MR001" || $0 == "MR002" } ?? false
    }
}
