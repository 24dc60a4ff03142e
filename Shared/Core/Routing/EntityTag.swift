import Crypto

/// An entity tag (RFC 9110, section 8.8.3); Martlet's are the version of a record in quotes: `"7"`. Where the answer shows more
/// than the record, as `/v1/me` does, a hash of the body follows: `"7-58aa…"`.
public struct EntityTag: Sendable, Hashable {
    /// What is between the quotes.
    var value: Substring
    var isWeak: Bool

    /// A record's version as a header's value.
    public static func of(_ version: some CustomStringConvertible) -> String { "\"\(version)\"" }

    /// The tag of an answer that shows more than the record: it changes with the body, and ``Precondition`` reads the version.
    public static func of(_ version: Int64, body: [UInt8]) -> String {
        of("\(version)-\(Hex.encode(SHA256.hash(data: body).prefix(16)))")
    }

    /// `nil` when the text is not a list of entity tags.
    static func list(_ text: String) -> [EntityTag]? {
        var tags: [EntityTag] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            var tag = part.drop { $0 == " " || $0 == "\t" }
            while let last = tag.last, last == " " || last == "\t" { tag.removeLast() }
            let isWeak = tag.hasPrefix("W/")
            if isWeak { tag = tag.dropFirst(2) }
            guard tag.utf8.count >= 2, tag.hasPrefix("\""), tag.hasSuffix("\"") else { return nil }
            tags.append(EntityTag(value: tag.dropFirst().dropLast(), isWeak: isWeak))
        }
        return tags
    }

    /// Whether `If-None-Match` names the version, by the weak comparison; a malformed header names nothing.
    public static func ifNoneMatch(_ call: Call, names version: some CustomStringConvertible) -> Bool {
        guard let header = call.header("if-none-match") else { return false }
        let version = version.description
        return header == "*" || (list(header) ?? []).contains { $0.value == version }
    }

    /// 200 with the record and its tag, or 304 when `If-None-Match` of a `GET` names this version.
    public static func reply(to call: Call, _ json: JSON, version: Int64, status: Int = 200) -> Reply {
        reply(to: call, json.bytes, tag: of(version), status: status)
    }

    /// 200 with the body and its tag, or 304 when `If-None-Match` of a `GET` names the tag.
    public static func reply(to call: Call, _ body: [UInt8], tag: String, status: Int = 200) -> Reply {
        let headers = [(name: "etag", value: tag)]
        if call.method == .get, ifNoneMatch(call, names: tag.dropFirst().dropLast()) { return Reply(status: 304, headers: headers) }
        return .json(body, status: status, headers: headers)
    }
}
