import Core
import Postgres
import Resources

/// The statements that undo a conversion, while nothing of what it made was changed or is referred to by others.
struct ConversionUndo {
    /// A record that the conversion may have made.
    struct Made {
        /// The table, and the name in the columns of `lead` and `lead_conversion`.
        let name: String
        let part: ResourcePart
        let permission: Permission
        let isPermitted: Bool

        init(_ name: String, _ resource: Resource, _ context: RequestContext) {
            self.name = name
            part = resource.part(for: context)
            permission = Permission(resource.definition.permissions, .create)
            isPermitted = context.permissions.contains(permission)
        }
    }

    let lead: RecordID
    /// Which leads are the caller's, behind another condition.
    let scope: SQL
    let made: [Made]
    let context: RequestContext

    private var conversion: SQL { "lead_conversion where tenant_id = \(context.tenant) and lead_id = \(lead)" }

    /// Lock what was made, so that the next statement sees how it stays.
    var locks: [SQL] {
        made.map { made in
            """
            select from \(unescaped: made.name) where tenant_id = \(context.tenant) \
            and id = (select made_\(unescaped: made.name)_id from \(conversion)) for no key update
            """
        }
    }

    private func exists(_ made: Made, _ condition: SQL) -> SQL {
        """
        (\(isGiven(made)) \
        or exists (select from \(unescaped: made.name) where tenant_id = \(context.tenant) \
        and id = (select made_\(unescaped: made.name)_id from \(conversion))\(condition)))
        """
    }

    private func isGiven(_ made: Made) -> SQL { "not exists (select from \(conversion) and made_\(unescaped: made.name)_id is not null)" }

    /// Whoever may convert may undo it, where he reaches what was made.
    private func isReached(_ made: Made) -> SQL {
        made.isPermitted ? exists(made, made.part.scope) : isGiven(made)
    }

    /// As it was made, and nothing but the conversion's own leads to it.
    private func isUntouched(_ made: Made) -> SQL {
        let own: SQL = "\(unescaped: made.name)"
        var others: [SQL] = [
            "version = 1 and deleted_at is null",
            """
            not exists (select from lead as other where other.tenant_id = \(own).tenant_id and other.converted_\(own)_id = \(own).id \
            and other.deleted_at is null and other.id <> \(lead))
            """,
            // What was merged into it would be gone with it.
            "not exists (select from merge where merge.tenant_id = \(own).tenant_id and survivor_id = \(own).id and undone_at is null)",
        ]
        if made.name == "account" {
            others.append(
                """
                not exists (select from contact as other where other.tenant_id = account.tenant_id and other.account_id = account.id \
                and other.deleted_at is null and other.id is distinct from (select made_contact_id from \(conversion)))
                """)
            others.append(
                """
                not exists (select from account as other where other.tenant_id = account.tenant_id and other.parent_id = account.id \
                and other.deleted_at is null)
                """)
        }
        if made.name != "deal" {
            others.append(
                """
                not exists (select from deal as other where other.tenant_id = \(own).tenant_id and other.\(own)_id = \(own).id \
                and other.deleted_at is null and other.id is distinct from (select made_deal_id from \(conversion)))
                """)
        }
        for (name, other) in [("contact", "deal"), ("deal", "contact")] where made.name == name {
            others.append(
                """
                not exists (select from deal_contact as link join \(unescaped: other) as other on other.tenant_id = link.tenant_id \
                and other.id = link.\(unescaped: other)_id and other.deleted_at is null \
                where link.tenant_id = \(own).tenant_id and link.\(own)_id = \(own).id)
                """)
        }
        return exists(made, " and " + SQL.joined(others, separator: " and "))
    }

    private var isTheCallers: SQL { "lead.tenant_id = \(context.tenant) and lead.id = \(lead) and lead.deleted_at is null" + scope }

    /// The one statement; a row when it has done it.
    func writing(_ precondition: Precondition, _ key: IdempotencyKey?) -> SQL {
        let changed: SQL = "version = version + 1, updated_at = now(), updated_by = \(context.user)"
        var target = isTheCallers
        if case .versions(let versions) = precondition { target += " and lead.version = any(\(versions))" }
        var parts: [SQL] = [
            """
            undone as (update lead set \(changed), status = previous_status, converted_at = null, converted_account_id = null, \
            converted_contact_id = null, converted_deal_id = null from (select lead_conversion.*, noted.converted_contact_id as contact_id, \
            noted.converted_deal_id as deal_id from lead_conversion join lead as noted on noted.tenant_id = \(context.tenant) \
            and noted.id = \(lead) where lead_conversion.tenant_id = \(context.tenant) and lead_id = \(lead)) as conversion where \(target) \
            and \(SQL.joined(made.flatMap { [isReached($0), isUntouched($0)] }, separator: " and ")) \
            returning made_account_id, made_contact_id, made_deal_id, contact_id, deal_id, moved_ids)
            """
        ]
        for made in made {
            parts.append(
                """
                \(unescaped: made.name)_gone as (update \(unescaped: made.name) set \(changed), deleted_at = now() from undone \
                where tenant_id = \(context.tenant) and id = undone.made_\(unescaped: made.name)_id)
                """)
        }
        // Also what is by now about a contact or a deal that is gone by it; and what is still about one that was merged into the contact, and is on
        // its way.
        parts.append(
            """
            subjects as materialized (select made_contact_id, moved_ids, deal_id || array(\
            with recursive contacts (id) as (select contact_id union select unnest(merged_ids) from contacts cross join lateral (\
            select merged_ids from merge where tenant_id = \(context.tenant) and survivor_id = contacts.id and resource = 'contacts' \
            and undone_at is null offset 0) as merge) \
            select id from contacts) as ids from undone)
            """)
        for (table, _) in LeadConversion.companions {
            parts.append(
                """
                moved_\(unescaped: table) as (update \(unescaped: table) set \(changed), \
                related = row('lead', \(lead)::uuid)::record_reference from subjects \
                where tenant_id = \(context.tenant) and (related).id = any(subjects.ids) and deleted_at is null \
                and ((related).type = 'deal' or (related).type = 'contact' and (made_contact_id is not null or id = any(moved_ids))))
                """)
        }
        parts.append("forgotten as (delete from \(conversion) and exists (select from undone))")
        if let key { parts.append("key as (" + key.insertion(as: context, status: 204, from: "undone") + ")") }
        return "with " + SQL.joined(parts, separator: ", ") + " select 1 from undone"
    }

    /// Why nothing was undone: a row with the lead's version when the lead is the caller's.
    var question: SQL {
        let answers: [SQL] = ["version", "exists (select from \(conversion))"] + made.flatMap { [isReached($0), isUntouched($0)] }
        return "select \(SQL.joined(answers, separator: ", ")) from lead where " + isTheCallers
    }

    func refusal(_ row: PostgresRow) throws -> Problem {
        guard try row.decode(1) else { return Problem(.conflict, "The lead is not converted.") }
        var changed: [String] = []
        for (index, made) in made.enumerated() {
            if try !row.decode(2 + 2 * index, as: Bool.self) { return .forbidden(made.permission) }
            if try !row.decode(3 + 2 * index, as: Bool.self) { changed.append(made.name) }
        }
        if changed.isEmpty { return .raced }
        let names = changed.joined(separator: " and the ")
        return Problem(
            .conflict, "The \(names) that it became \(changed.count == 1 ? "was" : "were") changed since, or is referred to by others.",
            members: [("changed", .array(changed.map { .string($0) }))])
    }
}
