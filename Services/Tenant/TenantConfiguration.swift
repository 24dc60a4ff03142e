import Core
import Foundation
import ServiceRuntime

/// The settings of tenant, beside those of every service (``RuntimeConfiguration``). Environment names in capitals.
///
/// | name | default | meaning |
/// |---|---|---|
/// | MARTLET_PLANS_FILE | the file shipped | JSON as `Plans/plans.json`: what each plan costs and allows |
public struct TenantConfiguration: Sendable {
    let plans: PlanCatalogue

    /// - Throws: ``PlanFileError`` with every fault of the file.
    public init(settings: Settings) throws {
        // Always there: it is a resource of this module.
        let shipped = Bundle.module.resourceURL!.appendingPathComponent("plans.json").path
        plans = try PlanCatalogue(contentsOf: settings.string("plans.file", default: shipped))
    }
}
