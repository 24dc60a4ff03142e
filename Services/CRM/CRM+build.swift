import Core
import Foundation
import Operations
import Resources
import ServiceRuntime

/// The CRM service: the sales records.
public enum CRM {
    public static let definition = ServiceDefinition(
        name: .crm,
        // The folder is a resource of this module, so it is always there.
        migrations: Bundle.module.resourceURL!.appendingPathComponent("Migrations")
    ) { dependencies in
        let resources = try dependencies.resources(
            Lead.definition, Account.definition, Contact.definition, Note.definition, Product.definition, ExchangeRate.definition)
        let (accounts, contacts) = (resources[1], resources[2])
        let conversion = LeadConversion(leads: resources[0], accounts: accounts, contacts: contacts, postgres: dependencies.postgres)
        return ServiceParts(resources, routes: [contacts.list(of: accounts, by: "account_id")] + conversion.routes)
    }
}
