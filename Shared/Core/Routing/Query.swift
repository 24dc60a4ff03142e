/// The query of a request's target, decoded, in the order sent.
public struct Query: Sendable, Hashable {
    public private(set) var items: [Item] = []

    public struct Item: Sendable, Hashable {
        public var name: String
        public var value: String
    }

    /// The most parameters of a request. A list of the widest resource, filtered by each of its fields, has fewer.
    public static let maximumParameters = 100

    public init() {}

    /// Decodes `name=value` pairs joined by `&` (percent-encoding of RFC 3986, and `+` for a space).
    ///
    /// - Throws: ``Problem`` `invalid_parameter` for broken percent-encoding, what is no text, a name that occurs twice, or more parameters than
    ///   ``maximumParameters``, naming the first too many.
    public init(_ text: some StringProtocol) throws(Problem) {
        for pair in text.utf8.split(separator: UInt8(ascii: "&"), maxSplits: Self.maximumParameters + 1) {
            let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentEncoding.decode(halves[0], plusIsSpace: true),
                let value = halves.count > 1 ? PercentEncoding.decode(halves[1], plusIsSpace: true) : ""
            else {
                throw .invalidParameter(
                    Suggestion.shown(String(decoding: halves[0], as: UTF8.self)), "The parameter is no percent-encoded text.")
            }
            guard items.count < Self.maximumParameters else {
                let shown = Suggestion.shown(name)
                throw .invalidParameter(
                    shown, "A request has at most \(Self.maximumParameters) parameters. The first too many is '\(shown)'.")
            }
            guard !items.contains(where: { $0.name == name }) else {
                let shown = Suggestion.shown(name)
                throw .invalidParameter(shown, "The parameter '\(shown)' occurs twice.")
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
        let faults = unknown.enumerated().map { index, name in
            let shown = Suggestion.shown(name)
            let hint = index < Suggestion.maximumHints ? Suggestion.hint(for: name, among: names) : ""
            return Problem.Fault(
                pointer: "?\(shown)", code: .unknownParameter, detail: "There is no parameter '\(shown)'.\(hint)")
        }
        if let first = faults.first { throw Problem(.unknownParameter, first.detail, faults: Array(faults)) }
    }
}

extension Timestamp {
    /// A time as it was meant in a query: there a plus sign is a blank unless it is encoded, and no time has a blank where its offset begins.
    public static func inQuery(_ text: String) -> String {
        let bytes = text.utf8
        guard let blank = bytes.lastIndex(of: UInt8(ascii: " ")), bytes[blank...].count == 6 else { return text }
        return text[..<blank] + "+" + text[bytes.index(after: blank)...]
    }
}
