import Core
import Postgres

/// What a failed write means to the caller.
struct WriteFailures: Sendable {
    let view: ResourceView
    /// What is taken from other records when one of these is deleted.
    let cleared: [ResourceCatalogue.Reference]

    private var definition: ResourceDefinition { view.definition }

    /// Reads the constraint's name: `<table>_<field>_<kind>`, or `<field>_<kind>` of a domain that tables share. The server's own words reach
    /// nobody.
    func problem(for error: PostgresError, of write: Write, as context: RequestContext) -> Problem {
        switch error.sqlState {
        case "MR001":
            let limit = definition.planLimit.flatMap { name in context.limits[name].map { (name, $0) } }
            return Problem(
                .planLimitReached, "The plan \(context.plan) allows no more \(definition.nouns).",
                members: limit.map { [("limit", .string($0.0)), ("maximum", .number($0.1))] } ?? [], underlying: error)
        case "23505":
            return taken(takenField(error), by: nil, words: words(for: error), underlying: error)
        case "23503":
            let detail = "There is no such record."
            return Problem(.referenceNotFound, detail, faults: faults(of: error, .referenceNotFound, detail), underlying: error)
        case "MR002":
            let isCycle = error.constraint?.hasSuffix("_cycle") == true
            let detail =
                isCycle ? "The \(definition.noun) would be above itself." : "More than 50 levels would be above each other."
            var problem = Problem.invalid(faults(of: error, isCycle ? .cycle : .tooDeep, detail))
            problem.underlying = error
            return problem
        case "23514":
            if case .delete = write { return refusal(ofDeletion: error) }
            // A hidden field may have part in the rule: which it is, is not told.
            if view.hidesFields { return Self.broken(underlying: error) }
            let isMissing = error.constraint?.hasSuffix("_required") == true
            let detail =
                words(for: error) ?? (isMissing ? "It must be there." : "The record would break a rule of this member.")
            let found = faults(of: error, isMissing ? .required : words(for: error) == nil ? .outOfRange : .notAllowed, detail)
            guard !found.isEmpty else { return error.problem }
            var problem = Problem.invalid(found)
            problem.underlying = error
            return problem
        default:
            return error.problem
        }
    }

    /// The unique field whose value another record has, if the failure is that and the caller may know the field.
    func takenField(_ error: PostgresError) -> Field? {
        error.sqlState == "23505" ? field(of: error).flatMap { view.isHidden($0) ? nil : $0 } : nil
    }

    /// - Parameter holder: the record that has the value; not told to those who may not see it. It is live and so never one that could be
    ///   restored instead.
    ///   - words: what the declaration says of it, where the value is unique together with others.
    func taken(_ field: Field?, by holder: RecordID?, words: String? = nil, underlying: PostgresError? = nil) -> Problem {
        let detail = words ?? "Another \(definition.noun) has this \(field?.name ?? "value")."
        let faults = field.map { [Problem.Fault(pointer: "/\($0.name)", code: .notUnique, detail: detail)] } ?? []
        var problem =
            holder.map { Problem.alreadyExists(detail, id: $0, isRestorable: false, faults: faults) }
            ?? Problem(.alreadyExists, detail, faults: faults)
        problem.underlying = underlying
        return problem
    }

    /// That a rule is broken, and not which.
    private static func broken(underlying error: PostgresError) -> Problem {
        var problem = Problem.invalid([.init(pointer: "", code: .notAllowed, detail: ValueFault.ruleBroken.detail)])
        problem.underlying = error
        return problem
    }

    private func faults(of error: PostgresError, _ code: FaultCode, _ detail: String) -> [Problem.Fault] {
        field(of: error).map { field in
            let isHidden = view.isHidden(field)
            // Of a value with parts a trigger says which.
            let part = error.column.flatMap { $0.hasPrefix("/") ? $0 : nil } ?? ""
            return [
                .init(
                    pointer: isHidden ? "" : "/\(field.name)\(part)", code: code, detail: isHidden ? ValueFault.ruleBroken.detail : detail)
            ]
        } ?? []
    }

    /// A deletion broke a rule, of the record's own or of one that would lose its reference to it.
    private func refusal(ofDeletion error: PostgresError) -> Problem {
        guard let rule = rule(of: error), let words = rule.resource.rules[rule.name] else { return error.problem }
        guard view.rules.hidden(in: rule.resource.name).isEmpty else {
            return Problem(.conflict, ValueFault.ruleBroken.detail, underlying: error)
        }
        let others = cleared.map { ($0.source.name, $0.field.name) }.filter { $0.0 == rule.resource.name && $0.0 != definition.name }
        let referring: [JSON] = others.map { ["resource": .string($0), "field": .string($1)] }
        let names = rule.resource.nouns
        return Problem(
            .conflict, referring.isEmpty ? words : "One of the \(names) that refer to it would break a rule: \(words)",
            members: referring.isEmpty ? [] : [("referring", .array(referring))], underlying: error)
    }

    /// What the declaration says of the rule that is broken.
    private func words(for error: PostgresError) -> String? { rule(of: error).flatMap { $0.resource.rules[$0.name] } }

    /// The field that the constraint is about: the longest name that its own begins with.
    private func field(of error: PostgresError) -> Field? {
        guard let rule = rule(of: error), rule.resource.name == definition.name else { return nil }
        return definition.fields.filter { rule.name.hasPrefix("\($0.name)_") }.max { $0.name.count < $1.name.count }
    }

    /// The constraint's name without its table's, and the resource that the table is of: this one, or one that a deletion changes too.
    private func rule(of error: PostgresError) -> (resource: ResourceDefinition, name: String)? {
        guard let constraint = error.constraint else { return nil }
        let known = [definition] + cleared.map(\.source)
        let resource: ResourceDefinition?
        if let table = error.table {
            resource = known.first { $0.table == table }
        } else {
            // Of a domain, or named by a trigger. A table's name may begin with another's.
            resource = known.filter { constraint.hasPrefix("\($0.table)_") }.max { $0.table.count < $1.table.count } ?? definition
        }
        guard let resource else { return nil }
        let prefix = "\(resource.table)_"
        return (resource, String(constraint.hasPrefix(prefix) ? constraint.dropFirst(prefix.count) : constraint[...]))
    }

    /// Why the write found no row to change, when there is one with that version.
    func problem(for write: Write, version: Int64, isDeleted: Bool) -> Problem {
        switch (write, isDeleted) {
        case (.restore, false): return Problem(.conflict, "The \(definition.noun) is not deleted.")
        case (.restore, true), (_, false):
            return mismatch(version)
        case (_, true): return .notFound
        }
    }

    func mismatch(_ version: Int64) -> Problem {
        Problem(.versionMismatch, "The \(definition.noun) has version \(version).", members: [("current_version", .number(version))])
    }

    /// - Parameter survivor: one that the caller may read.
    func merged(into survivor: RecordID) -> Problem { .merged(view.definition, into: survivor) }

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
