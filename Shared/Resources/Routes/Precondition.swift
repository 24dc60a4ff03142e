import Core

/// What `If-Match` demands of the record that is to be changed (RFC 9110, section 13.1.1).
enum Precondition: Sendable, Hashable {
    case none
    /// The record must have one of these versions; none of them when no tag can match.
    case versions([Int64])

    /// - Throws: ``Problem`` `invalid_parameter` when the header is not a list of entity tags.
    init(ifMatch header: String?) throws(Problem) {
        guard let header, header != "*" else {
            self = .none
            return
        }
        guard let tags = EntityTag.list(header) else {
            let detail = "Expected entity tags such as \"3\"."
            throw Problem(.invalidParameter, detail, faults: [.init(pointer: "If-Match", code: "invalid_parameter", detail: detail)])
        }
        // A weak tag never matches here: the comparison is the strong one.
        self = .versions(tags.filter { !$0.isWeak }.compactMap { Int64($0.value) })
    }
}

/// An entity tag; Martlet's are the version in quotes.
struct EntityTag: Sendable, Hashable {
    var value: String
    var isWeak: Bool

    static func header(version: String) -> (name: String, value: String) { ("etag", "\"\(version)\"") }

    /// `nil` when the text is not a list of entity tags.
    static func list(_ text: String) -> [EntityTag]? {
        var tags: [EntityTag] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            var tag = part.drop { $0 == " " || $0 == "\t" }
            while let last = tag.last, last == " " || last == "\t" { tag.removeLast() }
            let isWeak = tag.hasPrefix("W/")
            if isWeak { tag = tag.dropFirst(2) }
            guard tag.utf8.count >= 2, tag.hasPrefix("\""), tag.hasSuffix("\"") else { return nil }
            tags.append(EntityTag(value: String(tag.dropFirst().dropLast()), isWeak: isWeak))
        }
        return tags
    }

    /// Whether `If-None-Match` names the version, by the weak comparison; a malformed header names nothing.
    static func ifNoneMatch(_ header: String?, names version: String) -> Bool {
        guard let header else { return false }
        return header == "*" || (list(header) ?? []).contains { $0.value == version }
    }
}
