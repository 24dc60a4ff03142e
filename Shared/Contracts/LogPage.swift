import Core

/// A part of the log of events in the one order of all tenants, as activity answers `GET /internal/log` to services that follow it.
public struct LogPage: Sendable {
    public struct Entry: Sendable {
        /// Its place in that order.
        public var position: Int64
        public var event: Event

        public init(position: Int64, event: Event) {
            self.position = position
            self.event = event
        }
    }

    /// In the order of their positions.
    public var events: [Entry]
    /// Up to where nothing is missing here; what comes next is behind it.
    public var position: Int64
    /// The end of the log.
    public var head: Int64

    /// The payload of an event whose own was erased, or is larger than a page.
    public static let noPayload = "null"

    public init(events: [Entry], position: Int64, head: Int64) {
        self.events = events
        self.position = position
        self.head = head
    }

    /// The wire form; ``init(json:)`` reads it.
    public var bytes: [UInt8] {
        var writer = JSONWriter(capacity: 64 + events.count * 1024)
        writer.object { object in
            object.member("position", position)
            object.member("head", head)
            object.member("positions") { $0.array { array in for entry in events { array.element { $0.value(.number(entry.position)) } } } }
            object.member("events") { $0.raw(Event.encode(events.map(\.event))) }
        }
        return writer.bytes
    }

    /// - Throws: ``Problem`` when anything is missing or of another form.
    public init(json: JSON) throws(Problem) {
        guard let position = json["position"]?.integer, let head = json["head"]?.integer, let positions = json["positions"]?.array,
            let events = json["events"]
        else { throw .internal("no page of the log") }
        let places = positions.compactMap(\.integer)
        let decoded = try Event.decode(events)
        guard places.count == decoded.count else { throw .internal("no page of the log") }
        self.init(events: zip(places, decoded).map { Entry(position: $0, event: $1) }, position: position, head: head)
    }
}
