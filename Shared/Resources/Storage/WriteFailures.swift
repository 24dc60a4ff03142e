import Core
import Postgres

/// What a failed write means to the caller.
struct WriteFailures: Sendable {
    let view: ResourceView

    private var definition: ResourceDefinition { view.definition }

    /// Reads the constraint's name: `<table>_<field>_<kind>`, or `<field>_<kind>` of a domain that tables share. The server's own words reach
    /// nobody.
    func problem(for error: PostgresError, as context: RequestContext) -> Problem {
        switch error.sqlState {
        case "MR001":
            let limit = definition.planLimit.flatMap { name in context.limits[name].map { (name, $0) } }
            return Problem(
                .planLimitReached, "The plan \(context.plan) allows no more \(definition.name).",
                members: limit.map { [("limit", .string($0.0)), ("maximum", .number($0.1))] } ?? [], underlying: error)
        case "23505":
            return taken(field(of: error), by: nil, underlying: error)
        case "23503":
            let detail = "There is no such record."
            return Problem(.referenceNotFound, detail, faults: faults(of: error, .referenceNotFound, detail), underlying: error)
        case "MR002":
            let isCycle = error.constraint?.hasSuffix("_cycle") == true
            let detail =
                isCycle ? "The \(definition.singular) would be above itself." : "More than 50 levels would be above each other."
            var problem = Problem.invalid(faults(of: error, isCycle ? .cycle : .tooDeep, detail))
            problem.underlying = error
            return problem
        case "23514":
            let isMissing = error.constraint?.hasSuffix("_required") == true
            let detail =
                words(for: error) ?? (isMissing ? ValueFault.currencyMissing.detail : "The record would break a rule of this member.")
            let found = faults(of: error, isMissing ? .required : words(for: error) == nil ? .outOfRange : .notAllowed, detail)
            guard !found.isEmpty else { return error.problem }
            var problem = Problem.invalid(found)
            problem.underlying = error
            return problem
        default:
            return error.problem
        }
    }

    /// The unique field whose value another record has, if the failure is that.
    func takenField(_ error: PostgresError) -> Field? { error.sqlState == "23505" ? field(of: error) : nil }

    /// - Parameter holder: the record that has the value; not told to those who may not see it. It is live and so never one that could be
    ///   restored instead.
    func taken(_ field: Field?, by holder: RecordID?, underlying: PostgresError? = nil) -> Problem {
        let detail = "Another \(definition.singular) has this \(field?.name ?? "value")."
        let faults = field.map { [Problem.Fault(pointer: "/\($0.name)", code: .notUnique, detail: detail)] } ?? []
        var problem =
            holder.map { Problem.alreadyExists(detail, id: $0, isRestorable: false, faults: faults) }
            ?? Problem(.alreadyExists, detail, faults: faults)
        problem.underlying = underlying
        return problem
    }

    private func faults(of error: PostgresError, _ code: FaultCode, _ detail: String) -> [Problem.Fault] {
        field(of: error).map { [.init(pointer: "/\($0.name)", code: code, detail: detail)] } ?? []
    }

    /// What the declaration says of the rule that is broken.
    private func words(for error: PostgresError) -> String? { rule(of: error).flatMap { definition.rules[$0] } }

    /// The field that the constraint is about.
    private func field(of error: PostgresError) -> Field? {
        rule(of: error).flatMap { definition.field($0.split(separator: "_").dropLast().joined(separator: "_")) }
    }

    /// The constraint's name without its table's.
    private func rule(of error: PostgresError) -> String? {
        guard let constraint = error.constraint else { return nil }
        let prefix = definition.table + "_"
        return String(constraint.hasPrefix(prefix) ? constraint.dropFirst(prefix.count) : constraint[...])
    }

    /// What a write is about came and went while it was tried.
    static let raced = Problem(
        .upstreamUnavailable, "Another request changed the same records at the same moment. Try again.", retryAfter: 1)

    /// Why the write found no row to change, when there is one with that version.
    func problem(for write: Write, version: Int64, isDeleted: Bool) -> Problem {
        switch (write, isDeleted) {
        case (.restore, false): return Problem(.conflict, "The \(definition.singular) is not deleted.")
        case (.restore, true), (_, false):
            return mismatch(version)
        case (_, true): return .notFound
        }
    }

    func mismatch(_ version: Int64) -> Problem {
        Problem(.versionMismatch, "The \(definition.singular) has version \(version).", members: [("current_version", .number(version))])
    }

    /// Why an upsert has neither made nor changed a record; `nil` when nothing stands in its way any more. A record that is none of the
    /// caller's is like none until one is to be made.
    ///
    /// - Parameters:
    ///   - version: of the record that the caller may see.
    ///   - isTaken: whether somebody's record has the external id.
    func problem(for upsert: Upsert, version: Int64?, isTaken: Bool) -> Problem? {
        switch (version, upsert.creation, upsert.changes, upsert.precondition) {
        case (let version?, _, .failure(let problem), _): problem.code == .versionMismatch ? mismatch(version) : problem
        case (let version?, _, _, .versions(let versions)) where !versions.contains(version): mismatch(version)
        case (nil, .failure(let problem), _, _): problem
        case (nil, .success, _, _) where isTaken: taken(ResourceDefinition.externalID, by: nil)
        default: nil
        }
    }
}
