import Core
import Postgres

/// What a failed write means to the caller.
struct WriteFailures: Sendable {
    let definition: ResourceDefinition

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
            // No resource has a unique member as yet. The first that gets one has to name the row in the way: Problem.alreadyExists.
            let detail = "Another \(definition.singular) has this value."
            return Problem(.alreadyExists, detail, faults: faults(of: error, .notUnique, detail), underlying: error)
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
            let found =
                error.constraint?.hasSuffix("_required") == true
                ? faults(of: error, ValueFault.currencyMissing.code, ValueFault.currencyMissing.detail)
                : faults(of: error, .outOfRange, "The record would break a rule of this member.")
            guard !found.isEmpty else { return error.problem }
            var problem = Problem.invalid(found)
            problem.underlying = error
            return problem
        default:
            return error.problem
        }
    }

    private func faults(of error: PostgresError, _ code: FaultCode, _ detail: String) -> [Problem.Fault] {
        guard let constraint = error.constraint else { return [] }
        let prefix = definition.table + "_"
        let own = constraint.hasPrefix(prefix) ? constraint.dropFirst(prefix.count) : constraint[...]
        let name = own.split(separator: "_").dropLast().joined(separator: "_")
        return definition.field(name).map { [.init(pointer: "/\($0.name)", code: code, detail: detail)] } ?? []
    }

    /// Why the write found no row to change.
    ///
    /// - Parameter state: the answer to ``ResourceStatements/state(of:as:)``.
    func problem(for write: Write, state: PostgresResult) throws -> Problem {
        if case .create = write { return Self.raced }
        guard let row = state.first else { return .notFound }
        return problem(for: write, version: try row.decode(0), isDeleted: try row.decode(1))
    }

    /// What a create refers to came and went while it was tried.
    static let raced = Problem(
        .upstreamUnavailable, "Another request changed the same records at the same moment. Try again.", retryAfter: 1)

    /// The same for a row that has that version.
    func problem(for write: Write, version: Int64, isDeleted: Bool) -> Problem {
        switch (write, isDeleted) {
        case (.restore, false): return Problem(.conflict, "The \(definition.singular) is not deleted.")
        case (.restore, true), (_, false):
            return Problem(
                .versionMismatch, "The \(definition.singular) has version \(version).", members: [("current_version", .number(version))])
        case (_, true): return .notFound
        }
    }
}
