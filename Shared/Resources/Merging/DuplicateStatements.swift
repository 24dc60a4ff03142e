import Core
import Postgres

/// Finds records that may be one. What is the same is looked up by indexes that the tenant leads, a bounded number of records for each match; how
/// much they have in common is computed for these alone, since the operators of `pg_trgm` reach no index under row security.
struct DuplicateStatements: Sendable {
    /// The most that are told of.
    static let maximum = 50
    /// So many records are compared for each match.
    private static let candidates = 200
    /// So many are looked at for each way to find them, whoever's they are.
    private static let places = 2_000
    /// Fails a transaction that would make a duplicate.
    static let refusal = "MR020"

    private let view: ResourceView
    private let columns: String
    /// Those whose fields the caller may read. A name is looked up by its words, which say nothing of the field that they are in: only where all
    /// that is searched is the caller's to read.
    let matches: [DuplicateMatch]

    private var table: String { view.definition.table }

    init(_ view: ResourceView) {
        self.view = view
        matches = view.definition.duplicates.filter { match in
            match.fields.allSatisfy { view.shown.field($0) != nil } && (match.isExact || view.isSearchable)
        }
        columns = Self.columns(of: view).map(\.name).joined(separator: ", ")
    }

    /// What is shown of a candidate: all but what may be large.
    static func columns(of view: ResourceView) -> [Column] { view.shown.columns.filter { !$0.isWide } }

    /// The rows at the places: read from there, whatever else is asked of them (`offset 0`).
    private func rows(at places: SQL) -> SQL {
        "(select * from \(unescaped: table) where ctid = any(array(" + places + ")) offset 0) as \(unescaped: table)"
    }

    // MARK: Of a record

    /// The records that may be the same as that one, the likeliest first: their columns, the score, and the scores of the matches.
    func candidates(of id: RecordID, as context: RequestContext) -> SQL {
        let tenant: SQL = "\(context.tenant)"
        let reach = view.definition.reach(of: context).map { " and " + $0 } ?? ""
        let compared = matches.enumerated().map { asked($1, $0) }
        // Those alone that can be told of, each looked at in its place (`offset 0`): what is deleted or none of the caller's takes the room of none.
        let isOne: SQL = """
            exists (select from \(unescaped: table) where ctid = found.place and tenant_id = \(tenant) and deleted_at is null\(reach) \
            and id <> (select asked_id from asked) offset 0)
            """
        let places = matches.enumerated().flatMap { index, match in
            values(match, index).lookups(in: table, of: tenant).map { lookup in
                "(select place from (" + lookup + " limit \(unescaped: String(Self.places))) as found (place) where \(isOne) "
                    + "limit \(unescaped: String(Self.candidates)))"
            }
        }
        let scores = matches.enumerated().map { index, match in
            "\(unescaped: score(match, index)) as score_\(unescaped: String(index))" as SQL
        }
        return """
            with asked as materialized (select \(SQL.joined(["id as asked_id"] + compared, separator: ", ")) from \(unescaped: table) \
            where tenant_id = \(tenant) and id = \(id) and deleted_at is null\(reach)), \
            places (place) as (\(SQL.joined(places, separator: " union "))) \
            select \(unescaped: columns), \(unescaped: total) as likelihood\(unescaped: matches.indices.map { ", score_\($0)" }.joined()) from (\
            select \(unescaped: columns), \(SQL.joined(scores, separator: ", ")) from \(rows(at: "select place from places")) cross join asked \
            where tenant_id = \(tenant) and id <> asked_id and deleted_at is null\(reach)\
            ) as compared where \(unescaped: total) > 0 order by \(unescaped: total) desc, created_at desc, id desc limit \(unescaped: String(Self.maximum))
            """
    }

    /// What is compared of the record that is asked about.
    private func asked(_ match: DuplicateMatch, _ index: Int) -> SQL {
        let value: SQL =
            switch match {
            case .email(let name): "email_key(\(unescaped: name))"
            case .phone(let name): "\(unescaped: name)_e164"
            case .host(let name, let website): Values.hosts(["\(unescaped: name)", "web_host(\(unescaped: website))"])
            case .name(let names): "\(unescaped: Self.name(names))"
            }
        return value + " as asked_\(unescaped: String(index))"
    }

    private static func name(_ names: [String]) -> String { "fold(concat_ws(' ', \(names.joined(separator: ", "))))" }

    private func values(_ match: DuplicateMatch, _ index: Int) -> Values {
        Values(match: match, value: "(select asked_\(unescaped: String(index)) from asked)")
    }

    private func score(_ match: DuplicateMatch, _ index: Int) -> String {
        let asked = "asked_\(index)"
        func points(where condition: String) -> String { "case when \(condition) then \(match.weight) else 0 end" }
        switch match {
        case .email(let name): return points(where: "email_key(\(name)) = \(asked)")
        case .phone(let name): return points(where: "\(name)_e164 = \(asked)")
        case .host(let name, let website): return points(where: "array[\(name), web_host(\(website))] && \(asked)")
        case .name(let names): return "(\(match.weight) * similarity(\(Self.name(names)), \(asked)))::integer"
        }
    }

    /// As if each match that holds were right as often as it weighs, whatever the others are.
    private var total: String {
        let doubts = matches.indices.map {
            "(1 - case when score_\($0) < \(DuplicateMatch.lowestScore) then 0 else score_\($0) end / 100.0)"
        }
        return "(100 - round(100 * \(doubts.joined(separator: " * "))))::integer"
    }

    // MARK: Of a creation

    /// The exact matches that a creation's values can have.
    private func values(of changes: [Change]) -> [Values] {
        func value(_ name: String) -> SQLValue? {
            guard case .set(let value) = changes.first(where: { $0.field.name == name })?.value, value != .null else { return nil }
            return value
        }
        return matches.compactMap { match in
            switch match {
            case .email(let name): value(name).map { Values(match: match, value: "email_key(\($0)::text)") }
            case .phone(let name): value("\(name)_e164").map { Values(match: match, value: "\($0)::text") }
            case .host(let name, let website):
                {
                    let hosts = [value(name).map { "\($0)::text" }, value(website).map { "web_host(\($0)::text)" }] as [SQL?]
                    let given = hosts.compactMap(\.self)
                    return given.isEmpty ? nil : Values(match: match, value: Values.hosts(given))
                }()
            case .name: nil
            }
        }
    }

    /// What goes before a creation that makes no duplicate, in its transaction: a lock for each value that is matched, in their order, so that of two
    /// creations with one in common the second sees the record of the first; then what fails where a record has one of the values.
    func guards(of changes: [Change], as context: RequestContext) -> [SQL] {
        let values = values(of: changes)
        guard let found = found(values, as: context) else { return [] }
        let locks = values.map { value in
            "select \("\(table).\(value.match.reason) \(context.tenant) ")::text || value as name from " + value.each
        }
        return [
            """
            select pg_advisory_xact_lock(lock) from (select distinct hashtextextended(name, 0) as lock \
            from (\(SQL.joined(locks, separator: " union all "))) as names where name is not null order by lock) as locks
            """,
            "select fail_when(exists (select " + found + "), \(Self.refusal))",
        ]
    }

    /// The records that a creation was refused for: the id of each, and whether the caller may read it; those first that he may.
    func refused(_ changes: [Change], as context: RequestContext) -> SQL? {
        let isReadable = view.definition.readable(by: context) ?? "true"
        return found(values(of: changes), as: context).map { found in
            "select id, (" + isReadable + ") as is_readable " + found
                + " order by is_readable desc, created_at, id limit \(unescaped: String(Self.maximum))"
        }
    }

    /// From where: the records with any of the values.
    private func found(_ values: [Values], as context: RequestContext) -> SQL? {
        guard !values.isEmpty else { return nil }
        let tenant: SQL = "\(context.tenant)"
        let places = values.flatMap { $0.lookups(in: table, of: tenant) }.map { "(" + $0 + ")" }
        let conditions = values.map { "(" + $0.condition + ") is true" }
        return "from " + rows(at: SQL.joined(places, separator: " union ")) + " where tenant_id = " + tenant
            + " and deleted_at is null and (" + SQL.joined(conditions, separator: " or ") + ")"
    }
}

/// What one match looks for.
private struct Values {
    let match: DuplicateMatch
    /// As it is compared: a text, of hosts an array of them; null where there is none.
    let value: SQL

    /// The hosts that say something of whose they are.
    static func hosts(_ given: [SQL]) -> SQL {
        "array(select host from unnest(array[" + SQL.joined(given, separator: ", ") + "]) as hosts (host) where host is not null "
            + "and host <> all (\(SharedHosts.all)::text[]))"
    }

    /// Selects the values as a column `value`.
    var each: SQL {
        if case .host = match { return "unnest(" + value + ") as given (value)" }
        return "(select " + value + " as value) as given"
    }

    /// That a record has the value.
    var condition: SQL {
        switch match {
        case .email(let name): "email_key(\(unescaped: name)) = " + value
        case .phone(let name): "\(unescaped: name)_e164 = " + value
        case .host(let name, let website): "array[\(unescaped: name), web_host(\(unescaped: website))] && " + value
        case .name: "false"
        }
    }

    /// Each selects places of records that may have the value. In the list of what is selected the function gives them one by one, so that a limit
    /// bounds what is read of the table.
    func lookups(in table: String, of tenant: SQL) -> [SQL] {
        func search(_ query: SQL) -> SQL { "select \(unescaped: table)_search((" + query + "))" }
        switch match {
        case .email(let name):
            return [
                search(
                    "select filter_query(" + tenant + "::uuid, '\(unescaped: name)', array[value]) from " + each
                        + " where value is not null")
            ]
        case .phone(let name):
            // As the index of the filter has it.
            return [
                """
                select ctid from \(unescaped: table) where tenant_id = \(tenant) and deleted_at is null and \(unescaped: name) is not null \
                and (case when \(unescaped: name)_e164 is null then \(unescaped: name) else \(unescaped: name)_e164 end) = \(value)
                """
            ]
        case .host(let name, _):
            return [
                search(
                    "select filter_query(" + tenant + "::uuid, '\(unescaped: name)', hosts) || filter_query(" + tenant
                        + "::uuid, 'site', hosts) from (select " + value + " as hosts) as given where hosts <> '{}'")
            ]
        case .name:
            return [
                search("select name_query(" + tenant + "::uuid, " + value + ")"),
                search("select similar_name_query(" + tenant + "::uuid, " + value + ")"),
            ]
        }
    }
}
