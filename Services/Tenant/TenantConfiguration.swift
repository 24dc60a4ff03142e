import Core
import Foundation
import Operations
import ServiceRuntime

/// The settings of tenant beside those of every service; ``settings`` lists them.
public struct TenantConfiguration: Sendable {
    let plans: PlanCatalogue

    public static let settings = [
        Setting("plans.file", "the file shipped", "JSON file of the plans: what each costs and allows.")
    ]

    /// - Throws: ``PlanFileError`` with every fault of the file.
    public init(settings: Settings) throws {
        // Always there: it is a resource of this module.
        let shipped = Bundle.module.resourceURL!.appendingPathComponent("plans.json").path
        plans = try PlanCatalogue(contentsOf: try settings.string("plans.file", default: shipped))
    }
}
