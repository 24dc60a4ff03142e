import Contracts
import Core
import Operations
import Postgres
import Resources
import ServiceRuntime

/// `/v1/tenant`: the caller's own tenant.
struct TenantRoutes: Sendable {
    let tenants: TenantStore
    let announcer: EpochAnnouncer

    var routes: [Route] { [read, update] }

    private var read: Route {
        .permitted(
            Permission(.tenant, .read), .get, "/v1/tenant",
            Operation(
                id: "getTenant", summary: "Your tenant", tag: "tenant", parameters: [.ifNoneMatch],
                responses: [.init(200, "The tenant.", schema: ["$ref": "#/components/schemas/Tenant"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            let tenant = try await tenants.require(as: member)
            return EntityTag.reply(to: call, tenant.json, version: tenant.version)
        }
    }

    private var update: Route {
        .permitted(
            Permission(.tenant, .update), .patch, "/v1/tenant",
            Operation(
                id: "updateTenant", summary: "Change your tenant; another slug makes all tokens stale",
                description: """
                    Members that are absent stay as they are; a setting of null is removed. Another slug ends no session, but \
                    everybody's access token must be refreshed. Telephone numbers without a calling code are read as the country's; \
                    another country acts at once on what is written from then on, and changes no number that is there. So does another \
                    currency: it is that of amounts and exchange rates that are given without one; another time zone: its clocks say when a \
                    day begins, and are those of tasks that recur without a zone of their own; and another start of the fiscal year: a \
                    forecast by quarter follows it.
                    """,
                tag: "tenant",
                parameters: [.ifMatch, .idempotencyKey],
                body: Self.bodySchema,
                bodyExample: ["time_zone": "Europe/Vienna", "currency": "EUR", "fiscal_year_starts": 4, "settings": ["theme": "dark"]],
                responses: [.init(200, "The tenant.", schema: ["$ref": "#/components/schemas/Tenant"])],
                errors: [.alreadyExists, .conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            let change = try Self.change(call)
            let precondition = try Precondition(call)
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: member, on: tenants.postgres) {
                let tenant = try await tenants.update(change, if: precondition, as: member) { transaction, tenant in
                    if let key {
                        let etag = EntityTag.of(tenant.version)
                        try await transaction.query(key.insertion(as: member, status: 200, body: tenant.json.bytes, etag: etag))
                    }
                }
                if change.isAnnounced { announcer.announce(tenant) }
                return EntityTag.reply(to: call, tenant.json, version: tenant.version)
            }
        }
    }

    private static func change(_ call: Call) throws -> TenantStore.Change {
        let body = BodyReader(
            try call.json(), members: ["name", "slug", "locale", "time_zone", "currency", "fiscal_year_starts", "country", "settings"])
        var change = TenantStore.Change()
        change.name = body.text("name", maximum: 200, isRequired: false)
        change.slug = body.slug("slug", isRequired: false)
        if let locale = body.string("locale", isRequired: false) {
            if isLocale(locale) {
                change.locale = locale
            } else {
                body.fault("locale", .invalidFormat, "Expected a language tag such as 'en' or 'de-AT'.")
            }
        }
        if let zone = body.string("time_zone", isRequired: false) {
            if TimeZoneName.isValid(zone) {
                change.timeZone = zone
            } else {
                body.fault("time_zone", .invalidFormat, "Expected a name of the IANA database such as 'Europe/Vienna'.")
            }
        }
        if let currency = body.string("currency", isRequired: false) {
            if Currency.minorDigits(of: currency) != nil {
                change.currency = currency
            } else {
                body.fault("currency", .invalidFormat, "Expected a code of ISO 4217 such as 'EUR'.")
            }
        }
        change.fiscalYearStarts = body.integer("fiscal_year_starts", in: FiscalYear.months, isRequired: false)
        if body.isNull("country") {
            change.country = .cleared
        } else if let country = body.string("country", isRequired: false) {
            if Country.isValid(country) {
                change.country = .text(country)
            } else {
                body.fault("country", .invalidFormat, "Expected a code of ISO 3166-1 such as 'AT'.")
            }
        }
        if let settings = body.value("settings", isRequired: false) { change.settings = checked(settings, body) }
        try body.finish()
        return change
    }

    /// A language, then subtags of 2 to 8 letters and digits (a part of BCP 47 that has all that is in use).
    private static func isLocale(_ text: String) -> Bool {
        let subtags = text.split(separator: "-", omittingEmptySubsequences: false)
        return text.utf8.count <= 35 && (2...3).contains(subtags[0].utf8.count) && subtags[0].allSatisfy { $0.isASCII && $0.isLetter }
            && subtags.dropFirst().allSatisfy {
                (2...8).contains($0.utf8.count) && $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) }
            }
    }

    /// Settings are flat: names of the client's choice, each with a text, number or boolean; null removes one.
    private static func checked(_ settings: JSON, _ body: BodyReader) -> JSON? {
        guard let object = settings.object else {
            body.fault("settings", .invalidType, "Expected an object, found \(settings.kindName).")
            return nil
        }
        guard object.members.count <= maximumSettings else {
            body.fault("settings", .tooMany, "Expected at most \(maximumSettings) settings.")
            return nil
        }
        let inside = body.object("settings", members: object.names)
        var kept = JSONObject()
        for member in object.members {
            let isName =
                (1...64).contains(member.name.utf8.count)
                && member.name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
            guard isName else {
                inside?.fault(member.name, .invalidFormat, "The name of a setting has 1 to 64 characters a-z, 0-9 and _.")
                continue
            }
            do {
                kept[member.name] = try member.value.checkedScalar(maximum: maximumText)
            } catch {
                inside?.fault(member.name, error.code, error.detail)
            }
        }
        return .object(kept)
    }

    private static let maximumSettings = 100
    /// Unicode scalars of one setting.
    private static let maximumText = 1000

    private static let bodySchema: JSON = [
        "type": "object", "additionalProperties": false,
        "properties": [
            "name": BodySchema.text(maximum: 200),
            "slug": ["type": "string", "pattern": .string(Slug.pattern)],
            "locale": [
                "type": "string", "maxLength": 35, "pattern": "^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$", "description": "BCP 47.",
            ],
            "time_zone": ["type": "string", "maxLength": 64, "description": "IANA name."],
            "currency": ["type": "string", "pattern": "^[A-Z]{3}$"],
            "fiscal_year_starts": [
                "type": "integer", "minimum": 1, "maximum": 12,
                "description": "The month that the fiscal year begins with: its quarters are counted from there.",
            ],
            "country": [
                "type": ["string", "null"], "enum": .array(PhoneNumber.countries.map { .string($0) } + [.null]),
                "description":
                    "ISO 3166-1: where telephone numbers without a calling code are dialled. When null, that of the locale, if it has one.",
            ],
            "settings": [
                "type": "object", "maxProperties": .number(maximumSettings), "propertyNames": ["pattern": "^[a-z0-9_]{1,64}$"],
                "description": "Merged with what is there; null or an empty text removes a setting. 16 KiB in all.",
                "additionalProperties": BodySchema.scalar(maximum: maximumText),
            ],
        ],
    ]
}
