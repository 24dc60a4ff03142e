import Core
import Foundation
import Operations
import Resources
import ServiceRuntime

/// The support service: helping customers.
public enum Support {
    public static let definition = ServiceDefinition(
        name: .support,
        // The folder is a resource of this module, so it is always there.
        migrations: Bundle.module.resourceURL!.appendingPathComponent("Migrations"),
        copies: [.members]
    ) { dependencies in
        let resources = try dependencies.resources(Ticket.definition)
        let bulk = dependencies.bulkActs(of: resources)
        return ServiceParts(resources, routes: bulk.routes + dependencies.told(Ticket.definition), jobs: [bulk.job])
    }
}
