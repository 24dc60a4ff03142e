import Core
import Postgres
import Resources

/// `GET /v1/reports/forecast`: what deals come to, by when they are expected to close or were won.
struct Forecast: Sendable {
    let deals: Resource
    let postgres: PostgresClient
    let cursors: CursorSigner

    /// An open deal of at least this probability, in percent, counts as committed.
    static let committedFrom = 75
    /// The fields that it tells of.
    private static let fields = ["amount_minor", "currency", "probability", "expected_close_on", "status", "closed_at", "stage_id"]

    private static let text = """
        Of each period, currency and group: the open deals that are expected to close in it (open), the same by their probability (weighted), \
        those of them that are at \(committedFrom) percent or more together with what was won (committed), and what was won in it (won). Days are \
        those of UTC. Open deals without expected_close_on are in a period of null. Deals without an amount are only counted. You see \
        the deals that are yours to read by now; a role that one of the fields is hidden from that it adds up has no forecast. Where the currency \
        is not the tenant's, converted has the same in that, by the newest exchange rate that is valid on the day of as_of; it is null when there is none, or you may not read exchange rates. \
        As image/svg+xml it is a picture of the same page: for each currency and group a panel with a bar for each period, and the sums beside it.
        """

    var route: Route {
        .permitted(
            Permission(.reports, .read), .get, "/v1/reports/forecast",
            Operation(
                id: "getForecast", summary: "What your deals come to", description: Self.text, tag: "reports",
                parameters: ForecastQuery.parameters + Paging.parameters,
                responses: [
                    .init(
                        200, "By period, group and currency.", schema: Paging.schema(of: Self.schema),
                        alternatives: [ForecastChart.mediaType])
                ])
        ) { call, context in
            let type = try call.preferred(among: [Reply.jsonType, ForecastChart.mediaType])
            let names = ForecastQuery.parameters.map(\.name)
            // Where its periods begin is the tenant's, which may change.
            let list = ["forecast", context.tenant.description, context.user.description, String(context.fiscalYearStarts)]
            let paging = try Paging(call, of: list, further: names, cursors: cursors)
            let query = try ForecastQuery(call.query, fiscalYearStarts: context.fiscalYearStarts)
            try context.require(Permission(.deals, .read))
            try refuseHidden(query, context)
            let place = try paging.position { $0.array?.compactMap(\.string) }
            let rows: PostgresResult
            do {
                // How much has changed since a day of the past is for its values to say.
                let sql = sql(query, behind: place, limit: paging.limit + 1, as: context).plannedForItsValues
                rows = try await postgres.batch(as: context, [sql])[0]
            } catch let error as PostgresError {
                throw error.problem
            }
            let found = try rows.map { try Line($0, of: query, in: context.currency) }
            var reply =
                type == ForecastChart.mediaType
                ? ForecastChart(found.prefix(paging.limit).map(\.json), of: query, isCut: found.count > paging.limit).reply
                : paging.reply(found, position: { .array($0.place.map { .string($0) }) }, json: \.json)
            reply.headers.append(Reply.variesByAccept)
            return reply
        }
    }

    /// - Throws: ``Problem`` `forbidden`, naming the field.
    private func refuseHidden(_ query: ForecastQuery, _ context: RequestContext) throws(Problem) {
        let grouped: [ForecastQuery.Group: String] = [.owner: "owner_id", .team: "owner_id", .pipeline: "pipeline_id"]
        for field in Self.fields + [grouped[query.group]].compactMap(\.self) where deals.hides(field, from: context) {
            throw Problem(.forbidden, "A forecast tells of the field \(field) of deals, which is hidden from your role.")
        }
    }

    // MARK: SQL

    private func sql(_ query: ForecastQuery, behind place: [String]?, limit: Int, as context: RequestContext) -> SQL {
        let months = query.length
        let day: SQL = query.asOf.map { "(\($0)::timestamptz at time zone 'UTC')::date" } ?? "(now() at time zone 'UTC')::date"
        let (group, join) = grouping(query.group, as: context)
        let behind: SQL =
            place.map { $0.count == 3 ? " where (period_key, group_key, currency) > (\($0[0]), \($0[1]), \($0[2]))" : " where false" } ?? ""
        let states = ForecastStates(query: query, tenant: context.tenant, reach: deals.reach(of: context))
        return """
            with states as (\(states.sql)), \
            dated as (select *, case status when 'won' then (closed_at at time zone 'UTC')::date else expected_close_on end as day from states), \
            placed as (select dated.*, \(query.start)::date + make_interval(months => \(months) * floor((\
            (extract(year from day) - extract(year from \(query.start)::date)) * 12 \
            + extract(month from day) - extract(month from \(query.start)::date)) / \(months))::integer) as period from dated), \
            lines as (select period, coalesce(period::date::text, '~') collate "C" as period_key, \(group) as group_id, coalesce(\(group)::text, '~') collate "C" as group_key, \
            currency, coalesce(sum(amount_minor) filter (where status = 'open'), 0) as open, \
            coalesce(round(sum(amount_minor * probability::numeric) filter (where status = 'open') / 100), 0) as weighted, \
            coalesce(sum(amount_minor) filter (where status = 'won' or probability >= \(Self.committedFrom)), 0) as committed, \
            coalesce(sum(amount_minor) filter (where status = 'won'), 0) as won, \
            count(*) filter (where status = 'open') as open_count, count(*) filter (where status = 'won') as won_count \
            from placed\(join) group by period, group_id, currency) \
            select lines.*, period::date::text as starts, (period + make_interval(months => \(months)) - interval '1 day')::date::text as ends, \
            \(name(of: query.group, as: context)) as group_name, rate.rate, rate.valid_from::text as rate_from, \
            \(SQL.joined(["open", "weighted", "committed", "won"].map { converted($0, into: context.currency) }, separator: ", ")) \
            from (select * from lines\(behind) order by period_key, group_key, currency limit \(limit)) as lines \
            left join lateral (select * from exchange_rate_on(\(context.tenant)::uuid, lines.currency, \(context.currency), \(day)) \
            where lines.currency <> \(context.currency) and \(Self.mayConvert(context)) limit 1) as rate on true \
            order by period_key, group_key, currency
            """
    }

    /// The rates are shown with what they give, so only to who may read them.
    private static func mayConvert(_ context: RequestContext) -> Bool {
        context.permissions.contains(Permission(.exchangeRates, .read)) && context.fields["exchange_rates"]["rate"] != .hidden
    }

    private func converted(_ name: String, into currency: String) -> SQL {
        "exchanged_minor(\(unescaped: name), lines.currency, \(currency), rate.rate) as converted_\(unescaped: name)"
    }

    private func grouping(_ group: ForecastQuery.Group, as context: RequestContext) -> (key: SQL, join: SQL) {
        switch group {
        case .currency: ("null::uuid", "")
        case .owner: ("owner", "")
        case .pipeline: ("pipeline_id", "")
        case .team:
            (
                "team.team_id",
                " left join team_member_copy as team on team.tenant_id = \(context.tenant) and team.user_id = placed.owner"
            )
        }
    }

    /// Who a group is, where the service knows it and the caller may.
    private func name(of group: ForecastQuery.Group, as context: RequestContext) -> SQL {
        switch group {
        case .owner: "(select name from member_copy where tenant_id = \(context.tenant) and user_id = lines.group_id)"
        case .pipeline
        where context.permissions.contains(Permission(.pipelines, .read)) && context.fields["pipelines"]["name"] != .hidden:
            "(select name from pipeline where tenant_id = \(context.tenant) and id = lines.group_id)"
        case .pipeline, .team, .currency: "null::text"
        }
    }

    // MARK: Answers

    private struct Line {
        let json: JSON
        let place: [String]

        init(_ row: PostgresRow, of query: ForecastQuery, in currency: String) throws {
            var object = JSONObject()
            if let start = try row.decode("starts", as: String?.self) {
                object["period"] = ["start": .string(start), "end": .string(try row.decode("ends"))]
            } else {
                object["period"] = .null
            }
            if query.group != .currency {
                let id = try row.decode("group_id", as: RecordID?.self)
                object["group"] =
                    try id.map {
                        [
                            "id": .string($0.description),
                            "name": try row.decode("group_name", as: String?.self).map { .string($0) } ?? .null,
                        ]
                    } ?? .null
            }
            let own: String = try row.decode("currency")
            object["currency"] = .string(own)
            for name in Self.amounts { object["\(name)_minor"] = .number(try row.decode(name, as: String.self)) }
            for name in ["open_count", "won_count"] { object[name] = .number(try row.decode(name, as: String.self)) }
            var converted = JSON.null
            if let rate = try row.decode("rate", as: String?.self) {
                var other = JSONObject()
                other["currency"] = .string(currency)
                for name in Self.amounts { other["\(name)_minor"] = .number(try row.decode("converted_\(name)", as: String.self)) }
                other["rate"] = .string(rate)
                other["rate_valid_from"] = .string(try row.decode("rate_from"))
                converted = .object(other)
            }
            object["converted"] = converted
            json = .object(object)
            place = [try row.decode("period_key"), try row.decode("group_key"), own]
        }

        static let amounts = ["open", "weighted", "committed", "won"]
    }

    private static let schema: JSON = {
        let amounts = Line.amounts.map { ("\($0)_minor", ["type": "integer"] as JSON) }
        func object(_ properties: [(String, JSON)]) -> JSON {
            [
                "type": "object", "required": .array(properties.map { .string($0.0) }),
                "properties": .object(properties.reduce(into: JSONObject()) { $0[$1.0] = $1.1 }),
            ]
        }
        func orNull(_ schema: JSON, _ description: String) -> JSON {
            ["anyOf": [schema, ["type": "null"]], "description": .string(description)]
        }
        let date: JSON = ["type": "string", "format": "date"]
        var line =
            object(
                [
                    ("period", orNull(object([("start", date), ("end", date)]), "Its first and last day; null without a day.")),
                    ("currency", ["type": "string"]),
                ] + amounts + [
                    ("open_count", ["type": "integer"]), ("won_count", ["type": "integer"]),
                    (
                        "converted",
                        orNull(
                            object(
                                [("currency", ["type": "string"])] + amounts + [
                                    (
                                        "rate",
                                        [
                                            "type": "string", "description": "Units of the tenant's currency for one unit.",
                                            "examples": ["1.0842"],
                                        ]
                                    ), ("rate_valid_from", date),
                                ]), "In the tenant's currency.")
                    ),
                ]
            ).object ?? JSONObject()
        var properties = line["properties"]?.object ?? JSONObject()
        properties["group"] = orNull(
            object([("id", ["type": "string", "format": "uuid"]), ("name", ["type": ["string", "null"]])]),
            "The owner, team or pipeline; only with group=. Of a team the id alone is known here, and null is what belongs to none.")
        line["properties"] = .object(properties)
        return .object(line)
    }()
}
