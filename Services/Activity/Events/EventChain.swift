import Contracts
import Core
import Crypto

/// The hash chain over a tenant's events, and how it is written down.
///
/// An entry's hash is SHA-256 over its header: a compact JSON object with the format's version, the hash of the entry before, and
/// the digest of the payload, but not the payload. So no entry can be changed, removed or put between others without every later hash being
/// wrong, while a payload can be erased, together with the salt of its digest, and the chain still holds.
///
/// An export has a line for each entry, `<header without its brace>,"hash":…,"salt":…,"payload":…}`, with the payload to the byte as it was
/// digested, and a last line that says how many there are and where they end. ``Verifier`` checks it.
public enum EventChain {
    /// The version of what is hashed and of the export; it is part of both.
    static let format = 1

    /// What an entry's hash is made of.
    struct Header {
        var format = EventChain.format
        var sequence: Int64
        /// Its payload is not part of the header.
        var event: Event
        var payloadHash: String
        var previousHash: String

        var bytes: [UInt8] {
            var writer = JSONWriter(capacity: 768)
            writer.object { object in
                object.member("format", format)
                object.member("sequence", sequence)
                object.member("id", event.id.description)
                object.member("tenant_id", event.tenant.description)
                object.member("occurred_at", event.occurredAt.description)
                object.member("source", event.source)
                object.member("action", event.kind)
                object.member("resource", event.aggregate)
                object.member("resource_id", event.aggregateID)
                object.member("actor", event.actor)
                object.member("request_id", event.requestID)
                object.member("payload_hash", payloadHash)
                object.member("previous_hash", previousHash)
            }
            return writer.bytes
        }

        var hash: String { EventChain.hash(ofHeader: bytes) }
    }

    /// A payload's salt, and the digest that the two have.
    struct Seal {
        let salt: [UInt8]
        let hash: String

        /// Seals a payload with a new salt of 16 random bytes: with less, a short payload that was erased could be found by trying.
        init(_ payload: some StringProtocol) {
            var generator = SystemRandomNumberGenerator()
            self.init(payload.utf8, salt: (0..<16).map { _ in .random(in: 0...255, using: &generator) })
        }

        init(_ payload: some Sequence<UInt8>, salt: [UInt8]) {
            self.salt = salt
            hash = Hex.encode(SHA256.hash(data: salt + payload))
        }
    }

    /// The id of the entry `audit.gap` that stands for an event, as `gap_id` of each service makes it (Foundation/0004_relay.sql); `nil` for what is
    /// no id.
    public static func gapID(of event: String) -> String? {
        guard let event = EventID(event) else { return nil }
        var digits = Array(Hex.encode(Array(SHA256.hash(data: Array("\(Event.gap) \(event)".utf8)).prefix(16))).utf8)
        digits[12] = UInt8(ascii: "8")
        digits[16] = UInt8(ascii: "8")
        let text = String(decoding: digits, as: UTF8.self)
        return EventID(
            [text.prefix(8), text.dropFirst(8).prefix(4), text.dropFirst(12).prefix(4), text.dropFirst(16).prefix(4), text.dropFirst(20)]
                .joined(separator: "-"))?.description
    }

    static func hash(ofHeader bytes: some Sequence<UInt8>) -> String { Hex.encode(SHA256.hash(data: Array(bytes))) }

    /// An entry as a line of the export, without its line end. An erased payload and its salt are `nil`.
    static func line(header: [UInt8], hash: String, salt: String?, payload: String?) -> [UInt8] {
        var line = Array(header.dropLast())
        line.append(contentsOf: hashMark)
        line.append(contentsOf: hash.utf8)
        line.append(contentsOf: saltMark)
        line.append(contentsOf: salt.map { "\"\($0)\"" }?.utf8 ?? "null".utf8)
        line.append(contentsOf: payloadMark)
        line.append(contentsOf: payload?.utf8 ?? "null".utf8)
        line.append(UInt8(ascii: "}"))
        return line
    }

    /// The last line of an export of so many entries after the given one.
    static func end(entries: Int, after first: Position, at last: Position) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { object in
            object.member("format", format)
            object.member("entries", entries)
            object.member("after_sequence", first.sequence)
            object.member("last_sequence", last.sequence)
            object.member("last_hash", last.hash)
        }
        return writer.bytes
    }

    static let endMark = Array("{\"format\":\(format),\"entries\":".utf8)
    static let hashMark = Array(",\"hash\":\"".utf8)
    static let saltMark = Array("\",\"salt\":".utf8)
    static let payloadMark = Array(",\"payload\":".utf8)

    /// An entry's place in the chain, with the hash that proves all up to it.
    public struct Position: Sendable, Equatable {
        /// 0 before the first entry.
        public var sequence: Int64
        public var hash: String

        public static let start = Position(sequence: 0, hash: "")

        public init(sequence: Int64, hash: String) {
            self.sequence = sequence
            self.hash = hash
        }
    }
}
