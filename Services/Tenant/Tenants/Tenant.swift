import Contracts
import Core
import Postgres

/// An organisation that shares the platform.
struct Tenant: Sendable {
    let id: TenantID
    let name: String
    let slug: String
    let isActive: Bool
    /// The plan's name.
    let plan: String
    let overrides: PlanOverrides
    /// BCP 47.
    let locale: String
    /// A name of the IANA time zone database.
    let timeZone: String
    /// ISO 4217.
    let currency: String
    /// The month that its fiscal year begins with, 1 to 12.
    let fiscalYearStarts: Int
    /// As the tenant says; see ``Country/of(_:locale:)``.
    let country: String?
    let settings: JSON
    let epoch: Int64
    let version: Int64
    let createdAt: Timestamp
    let createdBy: UserID
    let updatedAt: Timestamp
    let updatedBy: UserID

    /// What its members see.
    var json: JSON { .object(object) }

    private var object: JSONObject {
        var object = JSONObject()
        object["id"] = .string(id.description)
        object["version"] = .number(version)
        object["name"] = .string(name)
        object["slug"] = .string(slug)
        object["status"] = .string(isActive ? "active" : "suspended")
        object["plan"] = .string(plan)
        object["locale"] = .string(locale)
        object["time_zone"] = .string(timeZone)
        object["currency"] = .string(currency)
        object["fiscal_year_starts"] = .number(fiscalYearStarts)
        object["country"] = country.map(JSON.string) ?? .null
        object["settings"] = settings
        object["created_at"] = .string(createdAt.description)
        object["updated_at"] = .string(updatedAt.description)
        object["created_by"] = .string(createdBy.description)
        object["updated_by"] = .string(updatedBy.description)
        return object
    }

    /// What the platform's operators see: the overrides too, and not the tenant's own settings.
    var platformJSON: JSON {
        var object = object
        object["settings"] = nil
        object["overrides"] = overrides.json
        return .object(object)
    }

    /// What gateways are told.
    var state: Revocation {
        let location = Revocation.Location(
            country: Country.of(country, locale: locale), currency: currency, timeZone: timeZone, fiscalYearStarts: fiscalYearStarts,
            version: version)
        return .tenant(id, epoch: epoch, isActive: isActive, location: location)
    }

    static let columns: SQL = """
        tenant.id, tenant.name, tenant.slug, tenant.status, tenant.plan, tenant.overrides, tenant.locale, tenant.time_zone,
        tenant.currency, tenant.fiscal_year_starts, tenant.country, tenant.settings, tenant.epoch, tenant.version, tenant.created_at, tenant.created_by, tenant.updated_at,
        tenant.updated_by
        """

    init(row: PostgresRow) throws {
        id = try row.decode("id")
        name = try row.decode("name")
        slug = try row.decode("slug")
        isActive = try row.decode("status", as: String.self) == "active"
        plan = try row.decode("plan")
        overrides = PlanOverrides(json: try row.decode("overrides", as: JSON.self))
        locale = try row.decode("locale")
        timeZone = try row.decode("time_zone")
        currency = try row.decode("currency")
        fiscalYearStarts = try row.decode("fiscal_year_starts")
        country = try row.decode("country")
        settings = try row.decode("settings")
        epoch = try row.decode("epoch")
        version = try row.decode("version")
        createdAt = try row.decode("created_at")
        createdBy = try row.decode("created_by")
        updatedAt = try row.decode("updated_at")
        updatedBy = try row.decode("updated_by")
    }

    private static let commonProperties: [(String, JSON)] = [
        ("id", ["type": "string", "format": "uuid"]), ("version", ["type": "integer"]), ("name", ["type": "string"]),
        ("slug", ["type": "string"]), ("status", ["enum": ["active", "suspended"]]), ("plan", ["type": "string"]),
        ("locale", ["type": "string"]), ("time_zone", ["type": "string"]), ("currency", ["type": "string"]),
        ("fiscal_year_starts", ["type": "integer", "minimum": 1, "maximum": 12]), ("country", ["type": ["string", "null"]]),
        ("created_at", ["type": "string", "format": "date-time"]), ("updated_at", ["type": "string", "format": "date-time"]),
        ("created_by", ["type": "string", "format": "uuid"]), ("updated_by", ["type": "string", "format": "uuid"]),
    ]

    static let schema = schema(with: ("settings", ["type": "object"]))
    static let platformSchema = schema(with: ("overrides", overridesSchema))
    static let overridesSchema: JSON = [
        "type": "object", "additionalProperties": false,
        "properties": [
            "requests_per_second": ["type": ["integer", "null"], "minimum": 1],
            "users": ["type": ["integer", "null"], "minimum": 0], "leads": ["type": ["integer", "null"], "minimum": 0],
        ],
    ]

    private static func schema(with further: (String, JSON)) -> JSON {
        var properties = JSONObject()
        for (name, schema) in commonProperties + [further] { properties[name] = schema }
        return [
            "type": "object", "required": .array(properties.names.map { .string($0) }), "properties": .object(properties),
        ]
    }
}
