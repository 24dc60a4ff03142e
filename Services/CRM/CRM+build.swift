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
        migrations: Bundle.module.resourceURL!.appendingPathComponent("Migrations"),
        copies: [.members, TicketCopy.copy.log]
    ) { dependencies in
        let resources = try dependencies.resources(
            Lead.definition, Account.definition, Contact.definition, Note.definition, Product.definition, ExchangeRate.definition,
            Pipeline.definition, Deal.definition, MemberTask.definition, copies: [TicketCopy.copy])
        let (leads, accounts, contacts, deals, tasks) = (resources[0], resources[1], resources[2], resources[7], resources[8])
        let (postgres, cursors) = (dependencies.postgres, dependencies.cursors)
        let conversion = LeadConversion(
            leads: leads, accounts: accounts, contacts: contacts, deals: deals, postgres: postgres)
        let stages = DealStages(deals: deals, postgres: postgres, cursors: cursors)
        let people = DealContacts(deals: deals, contacts: contacts, postgres: postgres, cursors: cursors)
        let forecast = Forecast(deals: deals, postgres: postgres, cursors: cursors)
        let bulk = dependencies.bulkActs(of: [leads, accounts, contacts, deals, tasks])
        let today = TodayRoute(postgres: postgres, tasks: tasks, leads: leads, deals: deals)
        let lineItems = LineItems(deals: deals, postgres: postgres)
        let routes =
            [contacts.list(of: accounts, by: "account_id"), forecast.route, lineItems.route, today.route]
            + conversion.routes + stages.routes + people.routes + bulk.routes
        var parts = ServiceParts(resources, routes: routes, jobs: [bulk.job, TaskSeries.job, TaskReminder.job])
        parts.routes = DefaultPipeline(postgres: postgres).listed(in: parts.routes)
        parts.routes = StagesInUse(deals: deals, postgres: postgres).told(in: NestedRights.asked(in: parts.routes))
        return parts
    }
}
