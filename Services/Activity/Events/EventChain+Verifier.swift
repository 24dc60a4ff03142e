import Contracts
import Core

extension EventChain {
    /// What a ``Verifier`` found.
    public struct Report: Sendable, Equatable {
        /// Entries that were read and fit.
        public var entries = 0
        /// Those of them whose payload was erased.
        public var erased = 0
        /// The last entry that fits; to be noted elsewhere, since nothing in a log can show that its end was taken off.
        public var last: Position
        /// Events that activity refused and that have not come since.
        public var gaps: [Gap] = []
        /// The first fault, with its line; `nil` when the chain holds.
        public var fault: String?
    }

    /// An entry that stands for an event which is missing.
    public struct Gap: Sendable, Equatable {
        public var sequence: Int64
        /// Its own id, which is made from that of the event that is missing (``EventChain/gapID(of:)``).
        public var id: String
        /// What is missing and why, for people.
        public var text: String
    }

    /// Checks an export, a line at a time: every hash and digest is right, each entry names the hash of the one before, sequence numbers
    /// have no gap, and the end is there.
    public struct Verifier: Sendable {
        public private(set) var report: Report
        private let start: Position
        private let head: Position?
        private var line = 0
        private var isEnded = false
        private var isHeadFound: Bool

        /// - Parameters:
        ///   - start: the last entry of what was checked before, where an export begins later than at the first.
        ///   - head: an entry that is known to be there, from elsewhere: whoever can write the file can write its end too, and nothing else
        ///     shows that the last entries were taken off.
        public init(after start: Position = .start, upTo head: Position? = nil) {
            self.start = start
            self.head = head
            isHeadFound = head == start
            report = Report(last: start)
        }

        /// - Parameter bytes: a line, without its end.
        /// - Returns: whether the chain still holds.
        public mutating func read(_ bytes: [UInt8]) -> Bool {
            guard report.fault == nil else { return false }
            line += 1
            if isEnded {
                report.fault = "line \(line): something follows the end"
            } else if bytes.starts(with: EventChain.endMark) {
                isEnded = true
                if bytes != EventChain.end(entries: report.entries, after: start, at: report.last) {
                    report.fault = "line \(line): the end does not fit the entries before it"
                }
            } else {
                report.fault = entry(bytes).map { "line \(line): \($0)" }
            }
            return report.fault == nil
        }

        /// Tells the verifier that there are no more lines.
        ///
        /// - Returns: what was found.
        public mutating func finish() -> Report {
            if report.fault == nil, !isEnded { report.fault = "line \(line + 1): the end is missing, so entries may be" }
            if report.fault == nil, let head, !isHeadFound {
                report.fault =
                    "entry \(head.sequence) with the hash \(head.hash) is not among them: entries were taken off, or they are others"
            }
            return report
        }

        /// - Returns: the fault.
        private mutating func entry(_ bytes: [UInt8]) -> String? {
            guard let parts = Parts(bytes), let header = (try? JSONParser.parse(parts.header))?.object,
                let sequence = header["sequence"]?.integer, let payloadHash = header["payload_hash"]?.string
            else { return "not an entry of an export" }
            guard header["format"]?.integer == Int64(EventChain.format) else { return "a format that is not known here" }
            if sequence != report.last.sequence + 1 { return "sequence \(sequence) where \(report.last.sequence + 1) is expected" }
            if header["previous_hash"]?.string != report.last.hash { return "entry \(sequence) does not follow the entry before it" }
            guard EventChain.hash(ofHeader: parts.header) == parts.hash else { return "entry \(sequence) was changed" }
            if let salt = parts.salt {
                guard Seal(parts.payload, salt: salt).hash == payloadHash else { return "the payload of entry \(sequence) was changed" }
            } else {
                report.erased += 1
            }
            report.entries += 1
            report.last = Position(sequence: sequence, hash: parts.hash)
            if report.last == head { isHeadFound = true }
            let id = header["id"]?.string ?? ""
            if header["action"]?.string == Event.gap {
                let details = parts.salt == nil ? nil : try? JSONParser.parse(Array(parts.payload))
                report.gaps.append(Gap(sequence: sequence, id: id, details: details))
            } else if !report.gaps.isEmpty, let gap = EventChain.gapID(of: id) {
                report.gaps.removeAll { $0.id == gap }
            }
            return nil
        }
    }

    /// The parts of an entry's line.
    private struct Parts {
        /// A whole object again.
        var header: [UInt8]
        var hash: String
        /// `nil` when it was erased with the payload.
        var salt: [UInt8]?
        var payload: ArraySlice<UInt8>

        /// `nil` when the line has another form. Nothing in a header can be taken for the mark of the hash: inside a string a quote is
        /// escaped.
        init?(_ line: [UInt8]) {
            guard let headerEnd = Self.find(EventChain.hashMark, in: line) else { return nil }
            header = line[..<headerEnd] + [UInt8(ascii: "}")]
            var rest = line[(headerEnd + EventChain.hashMark.count)...]
            func take(_ count: Int) -> ArraySlice<UInt8> {
                defer { rest = rest.dropFirst(count) }
                return rest.prefix(count)
            }
            hash = String(decoding: take(64), as: UTF8.self)
            guard take(EventChain.saltMark.count).elementsEqual(EventChain.saltMark) else { return nil }
            if rest.first == UInt8(ascii: "\"") {
                let text = take(34)
                // In lower case only: one value has one spelling.
                guard let salt = Hex.decode(String(decoding: text.dropFirst().dropLast(), as: UTF8.self)),
                    text.elementsEqual("\"\(Hex.encode(salt))\"".utf8)
                else { return nil }
                self.salt = salt
            } else {
                guard take(4).elementsEqual("null".utf8) else { return nil }
            }
            guard take(EventChain.payloadMark.count).elementsEqual(EventChain.payloadMark), rest.last == UInt8(ascii: "}") else {
                return nil
            }
            payload = rest.dropLast()
            // One that was erased has nothing that could be held against its digest, so nothing else may stand there.
            if salt == nil, !payload.elementsEqual("null".utf8) { return nil }
        }

        private static func find(_ mark: [UInt8], in line: [UInt8]) -> Int? {
            line.withUnsafeBufferPointer { line in
                line.indices.dropLast(mark.count - 1).first { start in
                    line[start] == mark[0] && line[start + 1] == mark[1] && line[start..<start + mark.count].elementsEqual(mark)
                }
            }
        }
    }
}

extension EventChain.Gap {
    /// - Parameter details: the entry's payload; `nil` when it was erased.
    fileprivate init(sequence: Int64, id: String, details: JSON?) {
        func detail(_ name: String) -> String { details?[name]?.string ?? "?" }
        let text = """
            event \(detail("event_id")), \(detail("action")) of \(detail("resource")) \(detail("resource_id")) by \(detail("actor")) \
            at \(detail("occurred_at")), was refused: \(detail("reason"))
            """
        self.init(sequence: sequence, id: id, text: details == nil ? "what it was has been erased" : text)
    }
}
