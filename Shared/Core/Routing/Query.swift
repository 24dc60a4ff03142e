/// The query of a request's target, decoded, in the order sent.
public struct Query: Sendable, Hashable {
    public private(set) var items: [Item] = []

    public struct Item: Sendable, Hashable {
        public var name: String
        public var value: String
    }

    public init() {}

    /// Decodes `name=value` pairs joined by `&` (percent-encoding of RFC 3986, and `+` for a space).
    ///
    /// - Throws: ``Problem`` `invalid_parameter` for broken percent-encoding, invalid UTF-8, a NUL, or a name that occurs twice.
    public init(_ text: some StringProtocol) throws(Problem) {
        for pair in text.utf8.split(separator: UInt8(ascii: "&")) {
            let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentEncoding.decode(halves[0], plusIsSpace: true),
                let value = halves.count > 1 ? PercentEncoding.decode(halves[1], plusIsSpace: true) : ""
            else {
                throw .invalidParameter(String(decoding: halves[0], as: UTF8.self), "The parameter's percent-encoding is broken.")
            }
            guard !items.contains(where: { $0.name == name }) else {
                throw .invalidParameter(name, "The parameter '\(name)' occurs twice.")
            }
            items.append(Item(name: name, value: value))
        }
    }

    public subscript(name: String) -> String? { items.first { $0.name == name }?.value }

    /// Refuses what the route does not know.
    ///
    /// - Throws: ``Problem`` `unknown_parameter`, naming each, 50 at most, and the nearest valid one.
    public func allowOnly(_ names: some Collection<String>) throws(Problem) {
        let unknown = items.lazy.map(\.name).filter { !names.contains($0) }.prefix(Problem.maximumFaults)
        let faults = unknown.map { name in
            let shown = Suggestion.shown(name)
            return Problem.Fault(
                pointer: "?\(shown)", code: .unknownParameter,
                detail: "There is no parameter '\(shown)'.\(Suggestion.hint(for: name, among: names))")
        }
        if let first = faults.first { throw Problem(.unknownParameter, first.detail, faults: Array(faults)) }
    }
}

extension Timestamp {
    /// A time as it was meant in a query: there a plus sign is a blank unless it is encoded, and no time has a blank where its offset begins.
    public static func inQuery(_ text: String) -> String {
        guard let blank = text.lastIndex(of: " "), text[blank...].utf8.count == 6 else { return text }
        return text[..<blank] + "+" + text[text.index(after: blank)...]
    }
}
