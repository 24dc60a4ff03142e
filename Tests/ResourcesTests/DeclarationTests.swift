import CRM
import Core
import Postgres
import Resources
import Support
import TestSupport
import Testing

@Suite struct DeclarationTests {
    /// What leads refer to.
    private static let besideLeads = [Account.definition, Contact.definition, Deal.definition]

    @Test func leadsFitTheirTable() async throws {
        try await ResourceAPI.leads { api in
            let faults = try await SchemaCheck.faults(of: Lead.definition, beside: Self.besideLeads, on: api.postgres)
            #expect(faults == [])
        }
    }

    @Test func ticketsFitTheirTable() async throws {
        try await ResourceAPI.tickets { api in
            let faults = try await SchemaCheck.faults(of: Ticket.definition, on: api.postgres)
            #expect(faults == [])
        }
    }

    @Test(arguments: [
        Account.definition, Contact.definition, Note.definition, MemberTask.definition, Product.definition, ExchangeRate.definition,
        Pipeline.definition, Deal.definition,
    ])
    func whatElseTheCRMHasFitsItsTable(definition: ResourceDefinition) async throws {
        try await ResourceAPI.accounts { api in
            let others = [Lead.definition, Contact.definition, Account.definition, Pipeline.definition, Deal.definition]
            let faults = try await SchemaCheck.faults(of: definition, beside: others, copies: [TicketCopy.tickets], on: api.postgres)
            #expect(faults == [])
        }
    }

    @Test func whatIsCopiedOfOtherServicesFitsItsTable() async throws {
        try await ResourceAPI.accounts { api in
            #expect(try await SchemaCheck.faults(of: TicketCopy.tickets, on: api.postgres) == [])
            try await api.database.asOwner(["alter table ticket_copy drop column version, no force row level security"])
            #expect(try await SchemaCheck.faults(of: TicketCopy.tickets, on: api.postgres).count == 2)
        }
    }

    /// A copy comes after what happened, so nobody here can keep another service from deleting.
    @Test(arguments: [FieldKind.OnDelete.refuse, .clear])
    func whatIsCopiedIsKeptByWhatRefersToIt(onDelete: FieldKind.OnDelete) {
        let definition = ResourceDefinition(
            "entries", singular: "entry", permissions: .notes, fields: [Field("about", .related(["ticket"], onDelete: onDelete))])
        let fault = #expect(throws: DeclarationFault.self) { try ResourceCatalogue([definition], copies: [TicketCopy.tickets]) }
        #expect(fault?.description == "The field about of entries has a say in what another service deletes.")
        #expect(throws: DeclarationFault.self) { try ResourceCatalogue([Ticket.definition], copies: [TicketCopy.tickets]) }
    }

    @Test func anAmountThatMayBeWithoutCurrencyIsTold() async throws {
        try await ResourceAPI.accounts { api in
            try await api.database.asOwner([
                "alter table account alter currency drop not null",
                "alter table account alter annual_revenue_minor type integer",
            ])
            let faults = try await SchemaCheck.faults(of: Account.definition, on: api.postgres).joined(separator: "\n")
            #expect(faults.contains("column currency must be 'not null'") && faults.contains("cannot hold the whole range"), "\(faults)")
        }
    }

    @Test func eachDifferenceBetweenDeclarationAndTableIsTold() async throws {
        try await ResourceAPI.leads { api in
            try await api.database.asOwner([
                "alter table lead drop column phone cascade", "alter table lead alter column score type smallint",
                "alter table lead add column secret text", "alter domain lead_status drop constraint lead_status_check",
                "alter domain lead_status add constraint lead_status_check check (value in ('new', 'old'))", "drop trigger audit on lead",
                "alter table lead no force row level security", "drop index lead_company", "drop index lead_external_id_unique",
                "create index lead_external_id_unique on lead (tenant_id, external_id) where deleted_at is null and external_id is not null",
                "alter table lead alter column company set not null",
                "drop trigger plan_limit on lead", "drop index lead_no_owner_id", "drop index lead_deleted_external_id",
            ])
            let faults = try await SchemaCheck.faults(of: Lead.definition, on: api.postgres).joined(separator: "\n")
            for part in [
                "column phone is missing", "serves the filter phone", "column secret is not declared", "lead_status_check allows",
                "No trigger records changes",
                "Row security is not", "(tenant_id, company COLLATE", "company must not be 'not null'", "plan's limit", "gin index",
                "holds external_id unique",
                "No index lead_no_owner_id", "serves the filter external_id among deleted records",
            ] { #expect(faults.contains(part), "\(part) in \(faults)") }
        }
    }

    /// A filter by a text that the column `search` leaves out would find nothing, whatever there is.
    @Test func aTextThatFiltersWouldNotFindIsTold() async throws {
        let fields = Lead.definition.fields.map { field in
            field.name == "title" ? Field("title", .text(max: 200), [.filterable, .searchable, .importable]) : field
        }
        let definition = ResourceDefinition(
            "leads", singular: "lead", permissions: .leads, owner: "owner_id", planLimit: "leads", duplicates: Lead.definition.duplicates,
            fields: fields)
        try await ResourceAPI.leads { api in
            let faults = try await SchemaCheck.faults(of: definition, beside: Self.besideLeads, on: api.postgres)
            #expect(faults == ["The column search does not know the values of title: give it to filter_words."])
        }
    }

    @Test(arguments: [Field.Traits.filterable, .sortable, .unique])
    func aTextThatNoIndexTakesIsTold(trait: Field.Traits) async throws {
        let fields = ["company": FieldKind.text(max: 256), "website": .url, "title": .text(max: 255)]
        let definition = ResourceDefinition(
            "leads", singular: "lead", permissions: .leads,
            fields: Lead.definition.fields.map { field in fields[field.name].map { Field(field.name, $0, trait) } ?? field })
        try await ResourceAPI.leads { api in
            let faults = try await SchemaCheck.faults(of: definition, on: api.postgres).filter { $0.contains("an index takes 255") }
            #expect(faults.count == 2 && faults[0].contains("company may have 256") && faults[1].contains("website"), "\(faults)")
        }
    }

    @Test(arguments: [
        ("alter table lead add constraint lead_parent_id_fkey foreign key (tenant_id, parent_id) references lead (tenant_id, id)", nil),
        (
            "alter table lead add constraint lead_parent_id_fkey foreign key (tenant_id, parent_id) references memo (tenant_id, id)",
            "REFERENCES memo(tenant_id, id)"
        ),
        (
            "alter table lead add constraint lead_parent_id_fkey foreign key (tenant_id, owner_id) references lead (tenant_id, id)",
            "FOREIGN KEY (tenant_id, owner_id)"
        ),
        ("alter table lead add check (true)", "lead_parent_id_fkey is missing"),
    ])
    func aReferenceLeadsToTheDeclaredResource(change: String, fault: String?) async throws {
        let parent = Field("parent_id", .reference(.resource("leads", onDelete: .keep)))
        let definition = ResourceDefinition(
            "leads", singular: "lead", permissions: .leads, owner: "owner_id", planLimit: "leads", duplicates: Lead.definition.duplicates,
            fields: Lead.definition.fields + [parent])
        try await ResourceAPI.leads { api in
            try await api.database.asOwner([
                "create table memo (tenant_id uuid, id uuid, constraint memo_pkey primary key (tenant_id, id))",
                "alter table lead add column parent_id uuid", "\(unescaped: change)",
                "create index lead_parent_id on lead (tenant_id, parent_id, created_at, id) where deleted_at is null",
            ])
            let faults = try await SchemaCheck.faults(of: definition, beside: Self.besideLeads, on: api.postgres)
            if let fault { #expect(faults.contains { $0.contains(fault) }, "\(faults)") } else { #expect(faults == []) }
            let elsewhere = ResourceDefinition(
                "leads", singular: "lead", permissions: .leads,
                fields: [Field("parent_id", .reference(.resource("memos", onDelete: .keep)))])
            let unknown = try await SchemaCheck.faults(of: elsewhere, on: api.postgres)
            #expect(unknown.contains { $0.contains("leads to memos, which is not among the resources") })
        }
    }

    @Test func theDocumentNamesEachRouteWithItsSchemas() async throws {
        try await ResourceAPI.leads { api in
            let document = OpenAPI.document(routes: api.resource.routes, schemas: api.resources.flatMap(\.schemas))
            let paths = try #require(document["paths"]?.object)
            #expect(
                paths.names.sorted() == [
                    "/v1/leads", "/v1/leads/batch", "/v1/leads/by-external-id/{external_id}", "/v1/leads/{id}",
                    "/v1/leads/{id}/duplicates", "/v1/leads/{id}/merge", "/v1/leads/{id}/merges", "/v1/leads/{id}/restore",
                    "/v1/leads/{id}/unmerge",
                ])
            let upsert = try #require(paths["/v1/leads/by-external-id/{external_id}"]?["put"])
            #expect(upsert["responses"]?.object?.names.contains("304") == false)
            #expect(upsert["parameters"]?[0]?["schema"]?["maxLength"] == 255)
            let schemas = try #require(document["components"]?["schemas"]?.object)
            // Every reference leads somewhere.
            let text = document.description
            for part in text.split(separator: "#/components/schemas/").dropFirst() {
                let name = String(part.prefix { $0.isLetter || $0.isNumber })
                #expect(schemas[name] != nil, "\(name)")
            }
            #expect(schemas["LeadCreate"]?["required"] == ["last_name"])
            #expect(schemas["LeadCreate"]?["properties"]?["status"]?["enum"] == ["new", "contacted", "qualified", "unqualified"])
            let reply = try await api.send(.post, "/v1/leads", #"{"last_name":"A"}"#, as: api.member())
            #expect(try reply.json.object?.names == schemas["Lead"]?["required"]?.array?.compactMap(\.string))
        }
    }
}
