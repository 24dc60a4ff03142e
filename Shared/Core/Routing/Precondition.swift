/// What `If-Match` demands of the record that is to be changed (RFC 9110, section 13.1.1).
public enum Precondition: Sendable, Hashable {
    case none
    /// The record must have one of these versions; none of them when no tag can match.
    case versions([Int64])

    /// What the call demands: nothing without the header or with `*`.
    ///
    /// - Throws: ``Problem`` `invalid_parameter` when the header is not a list of entity tags.
    public init(_ call: Call) throws(Problem) {
        guard let header = call.header("if-match"), header != "*" else {
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

    /// Holds a record's version, already read and locked, to the precondition.
    ///
    /// - Throws: ``Problem`` `version_mismatch`.
    public func check(_ version: Int64) throws(Problem) {
        guard case .versions(let versions) = self, !versions.contains(version) else { return }
        throw Problem(
            .versionMismatch, "The record has version \(version) now.", members: [("current_version", .number(version))])
    }
}
