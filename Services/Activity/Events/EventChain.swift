import Contracts
import Core
import Crypto

/// The hash chain over a tenant's events. An entry's hash is SHA-256 over its compact JSON, which holds the hash of the entry
/// before it; so no entry can be changed, removed or put between others without every later hash being wrong.
public enum EventChain {
    /// One entry of the log without its hash.
    struct Entry {
        var sequence: Int64
        var event: Event
        /// The payload, compact.
        var payload: JSON
        var previousHash: String

        var json: JSONObject {
            var object = JSONObject()
            object["sequence"] = .number(sequence)
            object["id"] = .string(event.id.description)
            object["tenant_id"] = .string(event.tenant.description)
            object["occurred_at"] = .string(event.occurredAt.description)
            object["source"] = .string(event.source)
            object["action"] = .string(event.kind)
            object["resource"] = .string(event.aggregate)
            object["resource_id"] = .string(event.aggregateID)
            object["actor"] = .string(event.actor)
            object["request_id"] = .string(event.requestID)
            object["payload"] = payload
            object["previous_hash"] = .string(previousHash)
            return object
        }

        var hash: String { EventChain.hash(of: json) }
    }

    /// Lower-case hexadecimal SHA-256 over the compact JSON of an entry's members but `hash`, in the order of the export.
    static func hash(of entry: JSONObject) -> String {
        Hex.encode(SHA256.hash(data: JSON.object(entry).bytes))
    }

    /// What ``verify(lines:)`` found.
    public struct Report: Sendable, Equatable {
        /// Entries that were read and fit.
        public var entries = 0
        /// The last entry's hash; to be compared with one noted elsewhere, since a log that was cut short at its end still fits.
        public var lastHash = ""
        /// The first fault, with its line; `nil` when the chain holds.
        public var fault: String?
    }

    /// Checks an export (NDJSON, one entry a line, oldest first, from the first entry on): every hash is right, each entry names
    /// the hash of the one before, sequence numbers have no gap.
    public static func verify(lines: some Sequence<[UInt8]>) -> Report {
        var verifier = Verifier()
        for line in lines where !verifier.read(line) { break }
        return verifier.report
    }

    /// The same check, a line at a time.
    public struct Verifier: Sendable {
        public private(set) var report = Report()
        private var line = 0

        public init() {}

        /// - Returns: whether the chain still holds.
        public mutating func read(_ bytes: [UInt8]) -> Bool {
            line += 1
            if bytes.isEmpty { return report.fault == nil }
            guard report.fault == nil else { return false }
            guard var entry = (try? JSONParser.parse(bytes))?.object, let sequence = entry["sequence"]?.integer,
                let hash = entry["hash"]?.string,
                let previous = entry["previous_hash"]?.string
            else {
                report.fault = "line \(line): not an entry of an export"
                return false
            }
            entry["hash"] = nil
            if sequence != Int64(report.entries) + 1 {
                report.fault = "line \(line): sequence \(sequence) where \(report.entries + 1) is expected"
            } else if previous != report.lastHash {
                report.fault = "line \(line): entry \(sequence) does not follow the entry before it"
            } else if EventChain.hash(of: entry) != hash {
                report.fault = "line \(line): entry \(sequence) was changed"
            } else {
                report.entries += 1
                report.lastHash = hash
                return true
            }
            return false
        }
    }
}
