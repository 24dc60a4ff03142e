import Core

/// One change or happening, on its way from a service's outbox to the event log of activity.
public struct Event: Sendable {
    public var id: EventID
    public var tenant: TenantID
    /// The service that it comes from: `crm`.
    public var source: String
    /// The kind of record: `lead`.
    public var aggregate: String
    public var aggregateID: String
    /// What happened: `lead.created`.
    public var kind: String
    /// The id of the user who did it, or `system`.
    public var actor: String
    public var requestID: String
    public var occurredAt: Timestamp
    /// JSON text: for a changed record `{"before":…,"after":…}`, where an update has the changed members only.
    public var payload: String

    /// The kind of the event that stands in the place of one that activity refused.
    public static let gap = "audit.gap"

    public init(
        id: EventID, tenant: TenantID, source: String, aggregate: String, aggregateID: String, kind: String, actor: String,
        requestID: String, occurredAt: Timestamp, payload: String
    ) {
        self.id = id
        self.tenant = tenant
        self.source = source
        self.aggregate = aggregate
        self.aggregateID = aggregateID
        self.kind = kind
        self.actor = actor
        self.requestID = requestID
        self.occurredAt = occurredAt
        self.payload = payload
    }

    /// The body of `POST /internal/events`. The payload travels as a string, so that its bytes stay as they are.
    public static func encode(_ events: [Event]) -> [UInt8] {
        var writer = JSONWriter(capacity: events.count * 1024)
        writer.array { array in
            for event in events {
                array.element { writer in
                    writer.object { object in
                        object.member("id", event.id.description)
                        object.member("tenant", event.tenant.description)
                        object.member("source", event.source)
                        object.member("aggregate", event.aggregate)
                        object.member("aggregate_id", event.aggregateID)
                        object.member("kind", event.kind)
                        object.member("actor", event.actor)
                        object.member("request_id", event.requestID)
                        object.member("occurred_at", event.occurredAt.description)
                        object.member("payload", event.payload)
                    }
                }
            }
        }
        return writer.bytes
    }

    /// Reads what ``encode(_:)`` wrote.
    ///
    /// - Throws: ``Problem`` `validation_failed`, naming the first event that is malformed.
    public static func decode(_ json: JSON) throws(Problem) -> [Event] {
        guard let elements = json.array else { throw .invalid([.init(pointer: "", code: .invalidType, detail: "Expected an array.")]) }
        var events: [Event] = []
        for (index, element) in elements.enumerated() {
            guard let id = element["id"]?.string.flatMap({ EventID($0) }), let tenant = element["tenant"]?.string.flatMap({ TenantID($0) }),
                let source = element["source"]?.string, let aggregate = element["aggregate"]?.string,
                let aggregateID = element["aggregate_id"]?.string, let kind = element["kind"]?.string,
                let actor = element["actor"]?.string, let requestID = element["request_id"]?.string,
                let occurredAt = element["occurred_at"]?.string.flatMap({ Timestamp($0) }), let payload = element["payload"]?.string
            else { throw .invalid([.init(pointer: "/\(index)", code: .invalidFormat, detail: "This is no event.")]) }
            events.append(
                Event(
                    id: id, tenant: tenant, source: source, aggregate: aggregate, aggregateID: aggregateID, kind: kind, actor: actor,
                    requestID: requestID, occurredAt: occurredAt, payload: payload))
        }
        return events
    }
}
