import Core
import Foundation
import Operations
import ServiceRuntime

/// The activity service: the event log and what is read from it.
public enum Activity {
    public static let definition = ServiceDefinition(
        name: .activity,
        // The folder is a resource of this module, so it is always there.
        migrations: Bundle.module.resourceURL!.appendingPathComponent("Migrations")
    ) { dependencies in
        ServiceParts(
            routes: EventRoutes(store: EventStore(postgres: dependencies.systemPostgres)).routes
                + AuditRoutes(store: AuditStore(postgres: dependencies.postgres), cursors: dependencies.cursors).routes,
            schemas: AuditRoutes.schemas)
    }
}
