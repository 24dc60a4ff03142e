import Contracts
import Core
import Operations
import Postgres
import Resources

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
                    everybody's access token must be refreshed.
                    """,
                tag: "tenant",
                parameters: [.ifMatch, .idempotencyKey],
                body: Self.bodySchema,
                bodyExample: ["time_zone": "Europe/Vienna", "currency": "EUR", "settings": ["theme": "dark"]],
                responses: [.init(200, "The tenant.", schema: ["$ref": "#/components/schemas/Tenant"])],
                errors: [.alreadyExists, .conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            let change = try Self.change(call)
            let precondition = try Precondition(call)
            let key = try Idempotency(call)
            return try await Idempotency.guarding(key, as: member, on: tenants.postgres) {
                let tenant = try await tenants.update(change, if: precondition, as: member) { transaction, tenant in
                    if let key {
                        let etag = EntityTag.of(tenant.version)
                        try await transaction.query(key.insertion(as: member, status: 200, body: tenant.json.bytes, etag: etag))
                    }
                }
                if change.makesTokensStale { announcer.announce(tenant) }
                return EntityTag.reply(to: call, tenant.json, version: tenant.version)
            }
        }
    }

    private static func change(_ call: Call) throws -> TenantStore.Change {
        let body = BodyReader(try call.json(), members: ["name", "slug", "locale", "time_zone", "currency", "settings"])
        var change = TenantStore.Change()
        change.name = body.text("name", maximum: 200, isRequired: false)
        change.slug = body.slug("slug", isRequired: false)
        if let locale = body.text("locale", maximum: 35, isRequired: false) {
            if isLocale(locale) {
                change.locale = locale
            } else {
                body.fault("locale", "invalid_format", "Expected a language tag such as 'en' or 'de-AT'.")
            }
        }
        if let zone = body.text("time_zone", maximum: 64, isRequired: false) {
            if TimeZoneName.isValid(zone) {
                change.timeZone = zone
            } else {
                body.fault("time_zone", "invalid_format", "Expected a name of the IANA database such as 'Europe/Vienna'.")
            }
        }
        if let currency = body.text("currency", maximum: 3, isRequired: false) {
            if currency.utf8.count == 3, currency.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) {
                change.currency = currency
            } else {
                body.fault("currency", "invalid_format", "Expected a code of ISO 4217 such as 'EUR'.")
            }
        }
        if let settings = body.value("settings", isRequired: false) { change.settings = checked(settings, body) }
        try body.finish()
        return change
    }

    /// A language, then subtags of 2 to 8 letters and digits (a part of BCP 47 that has all that is in use).
    private static func isLocale(_ text: String) -> Bool {
        let subtags = text.split(separator: "-", omittingEmptySubsequences: false)
        return (2...3).contains(subtags[0].utf8.count) && subtags[0].allSatisfy { $0.isASCII && $0.isLetter }
            && subtags.dropFirst().allSatisfy {
                (2...8).contains($0.utf8.count) && $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) }
            }
    }

    /// Settings are flat: names of the client's choice, each with a text, number or boolean; null removes one.
    private static func checked(_ settings: JSON, _ body: BodyReader) -> JSON? {
        guard let object = settings.object else {
            body.fault("settings", "invalid_type", "Expected an object, not \(settings.kindName).")
            return nil
        }
        if object.members.count > 100 { body.fault("settings", "too_many", "At most 100 settings.") }
        for member in object.members.prefix(100) {
            let isName =
                (1...64).contains(member.name.utf8.count)
                && member.name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
            guard isName else {
                body.fault("settings", "invalid_format", "The name of a setting has 1 to 64 characters a-z, 0-9 and _.")
                continue
            }
            let isValue =
                switch member.value {
                case .null, .bool: true
                case .string(let text): text.utf8.count <= 1000 && !text.utf8.contains(0)
                // jsonb writes exponents out: 1e9999 would become ten thousand digits.
                case .number(let text): text.utf8.count <= 32 && !text.contains { $0 == "e" || $0 == "E" }
                case .array, .object: false
                }
            if !isValue {
                body.fault(
                    "settings/\(member.name)", "invalid_value", "Expected a text of at most 1000 bytes, a number, a boolean or null.")
            }
        }
        return settings
    }

    private static let bodySchema: JSON = [
        "type": "object", "additionalProperties": false,
        "properties": [
            "name": ["type": "string", "minLength": 1, "maxLength": 200],
            "slug": ["type": "string", "pattern": .string(Slug.pattern)],
            "locale": ["type": "string", "description": "BCP 47."], "time_zone": ["type": "string", "description": "IANA name."],
            "currency": ["type": "string", "pattern": "^[A-Z]{3}$"],
            "settings": [
                "type": "object", "description": "Merged with what is there; null removes a setting.",
                "additionalProperties": ["type": ["string", "number", "boolean", "null"]],
            ],
        ],
    ]
}
