import Contracts
import Core
import Foundation

/// The plans there are, from one file.
struct PlanCatalogue: Sendable {
    /// In the order of the file.
    let plans: [Plan]

    /// The plan of a tenant that registers.
    static let initialPlan = "free"
    /// The plan of the platform's own tenant.
    static let platformPlan = "enterprise"

    /// Reads a file as shipped in `plans.json`.
    ///
    /// - Throws: ``PlanFileError`` with every fault of the file.
    init(contentsOf path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw PlanFileError(path: path, faults: ["it cannot be read"])
        }
        do throws(Problem) {
            try self.init(json: JSONParser.parse(Array(data)))
        } catch let problem {
            throw PlanFileError(
                path: path, faults: problem.faults.isEmpty ? [problem.detail] : problem.faults.map { "\($0.pointer): \($0.detail)" })
        }
    }

    /// - Throws: ``Problem`` `validation_failed` with the place of every fault.
    init(json: JSON) throws(Problem) {
        var faults: [Problem.Fault] = []
        func note(_ pointer: String, _ detail: String) {
            faults.append(.init(pointer: pointer, code: .notAllowed, detail: detail))
        }
        var plans: [Plan] = []
        for (index, element) in (json.array ?? []).enumerated() {
            let members = ["name", "price", "users", "leads", "entitlements", "rate"]
            for name in element.object?.names ?? [] where !members.contains(name) { note("/\(index)/\(name)", "not a member of a plan") }
            for name in members where element[name] == nil { note("/\(index)/\(name)", "missing") }
            let name = element["name"]?.string ?? ""
            // The name stands in tokens and in the signed context, whose separators it must not hold.
            if name.isEmpty || name.utf8.count > 40 || !name.utf8.allSatisfy({ (0x61...0x7A).contains($0) || $0 == 0x5F }) {
                note("/\(index)/name", "expected 1 to 40 characters a-z and _")
            }
            if plans.contains(where: { $0.name == name }) { note("/\(index)/name", "occurs twice") }
            var limits: [String: Int] = [:]
            for limit in Plan.limitNames {
                switch element[limit] {
                case nil, .null: break
                case let value? where value.integer.map { (0...1_000_000_000).contains($0) } == true:
                    limits[limit] = value.integer.map(Int.init)
                default: note("/\(index)/\(limit)", "expected a whole number from 0, or null for unlimited")
                }
            }
            let amount = element["price"]?["amount_minor"]?.integer
            let currency = element["price"]?["currency"]?.string
            if amount.map({ $0 >= 0 }) != true || currency?.utf8.count != 3 {
                note("/\(index)/price", "expected {\"amount_minor\":9900,\"currency\":\"USD\"}")
            }
            let entitlements = element["entitlements"]?.array?.compactMap(\.string)
            if entitlements == nil || entitlements?.count != element["entitlements"]?.array?.count {
                note("/\(index)/entitlements", "expected an array of strings")
            }
            let rate = RateLimits(json: element["rate"])
            if rate == nil { note("/\(index)/rate", "expected {\"tenant\":[requests,seconds],\"user\":[requests,seconds]}, all above 0") }
            guard let amount, let currency, let entitlements, let rate else { continue }
            plans.append(
                Plan(name: name, amountMinor: amount, currency: currency, limits: limits, entitlements: entitlements, rate: rate))
        }
        if json.array == nil { note("", "expected an array of plans") }
        for name in [Self.initialPlan, Self.platformPlan] where faults.isEmpty && !plans.contains(where: { $0.name == name }) {
            note("", "there must be a plan '\(name)'")
        }
        guard faults.isEmpty else { throw .invalid(faults) }
        self.plans = plans
    }

    func find(_ name: String) -> Plan? { plans.first { $0.name == name } }

    /// The plan of a stored tenant.
    ///
    /// - Throws: ``Problem`` `internal` when the file has lost a plan that a tenant is on.
    func plan(of tenant: Tenant) throws(Problem) -> Plan {
        guard let plan = find(tenant.plan) else { throw .internal("no plan \(tenant.plan) in the file of plans") }
        return plan
    }
}

/// The file of plans cannot be used; stops the start.
struct PlanFileError: Error, CustomStringConvertible {
    let path: String
    let faults: [String]

    var description: String { "setting MARTLET_PLANS_FILE: \(path): \(faults.joined(separator: "; "))" }
}
