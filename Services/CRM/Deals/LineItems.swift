import Core
import Postgres
import Resources

/// What the lines of a deal come to, with tax: `GET /v1/deals/{id}/line-items`. They are changed as a member of the deal.
struct LineItems: Sendable {
    let deals: Resource
    let postgres: PostgresClient

    var route: Route {
        .permitted(
            Permission(.deals, .read), .get, "\(Deal.definition.path)/{id}/line-items",
            Operation(
                id: "getDealLineItems", summary: "What the line items of a deal come to",
                description: """
                    Each line with its amount, which is rounded to the nearest unit of the currency, half a unit upwards, and the tax on that, \
                    rounded by itself; so the lines add up to the sums. To change them, PATCH line_items of the deal.
                    """, tag: "deals", parameters: [.ifNoneMatch],
                responses: [.init(200, "The lines in their order, and their sums.", schema: Self.schema)])
        ) { call, context in
            try call.query.allowOnly([])
            let id: RecordID = try call.id()
            if deals.hides(LineItem.field.name, from: context) { throw Problem.notFound }
            let rows: PostgresResult
            do {
                rows = try await postgres.batch(as: context, [query(of: id, as: context)])[0]
            } catch let error as PostgresError {
                throw error.problem
            }
            guard let row = rows.first else { throw Problem.notFound }
            return EntityTag.reply(to: call, try row.decode("body", as: JSON.self), version: try row.decode("version"))
        }
    }

    private func query(of id: RecordID, as context: RequestContext) -> SQL {
        """
        select version, json_build_object('data', lines.data, 'currency', currency, 'amount_minor', lines.amount_minor, \
        'tax_minor', lines.tax_minor, 'total_minor', lines.amount_minor + lines.tax_minor) as body \
        from (select version, currency, line_items from deal where \(deals.condition(on: id, as: context))) as deal \
        cross join lateral (\
        select coalesce(json_agg(line || jsonb_build_object('amount_minor', amount_minor, 'tax_minor', tax_minor) order by place), '[]') as data, \
        coalesce(sum(amount_minor), 0) as amount_minor, coalesce(sum(tax_minor), 0) as tax_minor \
        from jsonb_array_elements(line_items) with ordinality as lines (line, place) \
        cross join lateral line_amount((line ->> 'quantity')::numeric, (line ->> 'unit_price_minor')::numeric, \
        (line ->> 'discount_percent')::numeric, (line ->> 'discount_minor')::numeric) as amount_minor \
        cross join lateral line_tax(amount_minor, (line ->> 'tax_percent')::numeric) as tax_minor) as lines
        """
    }

    private static let schema: JSON = {
        let amount: JSON = ["type": "integer", "minimum": 0]
        return [
            "type": "object", "required": ["data", "currency", "amount_minor", "tax_minor", "total_minor"],
            "properties": [
                "data": [
                    "type": "array",
                    "items": [
                        "type": "object",
                        "required": [
                            "id", "product_id", "name", "quantity", "unit_price_minor", "discount_percent", "discount_minor", "tax_percent",
                            "amount_minor", "tax_minor",
                        ],
                        "properties": [
                            "id": ["type": "string", "format": "uuid"], "product_id": ["type": ["string", "null"], "format": "uuid"],
                            "name": ["type": "string"], "quantity": ["type": "string", "examples": ["1.5"]],
                            "unit_price_minor": amount, "discount_percent": ["type": ["string", "null"], "examples": ["10"]],
                            "discount_minor": ["type": ["integer", "null"], "minimum": 0],
                            "tax_percent": ["type": ["string", "null"], "examples": ["19"]], "amount_minor": amount, "tax_minor": amount,
                        ],
                    ],
                ],
                "currency": ["type": "string", "description": "That of the deal.", "examples": ["EUR"]],
                "amount_minor": ["type": "integer", "minimum": 0, "description": "The sum of the lines without tax: the deal's amount."],
                "tax_minor": amount, "total_minor": ["type": "integer", "minimum": 0, "description": "Both together."],
            ],
        ]
    }()
}
