/// What `If-Match` demands of the record that is to be changed (RFC 9110, section 13.1.1).
public enum Precondition: Sendable, Hashable {
    case none
    /// The record must have one of these versions; none of them when no tag can match.
    case versions([Int64])

    /// What the call demands: nothing without the header or with `*`.
    ///
    /// - Parameter tagsHashBody: whether the route's tags are of ``EntityTag/of(_:body:)``. Of such a tag the version counts, which is
    ///   all that a change can be lost to.
    /// - Throws: ``Problem`` `invalid_parameter` when the header is not a list of entity tags.
    public init(_ call: Call, tagsHashBody: Bool = false) throws(Problem) {
        guard let header = call.header("if-match"), header != "*" else {
            self = .none
            return
        }
        guard let tags = EntityTag.list(header) else {
            let detail = "Expected entity tags such as \"3\"."
            throw Problem(.invalidParameter, detail, faults: [.init(pointer: "If-Match", code: .invalidParameter, detail: detail)])
        }
        // A weak tag never matches here: the comparison is the strong one.
        let values = tags.lazy.filter { !$0.isWeak }.map { tagsHashBody ? $0.value.prefix(while: { $0 != "-" }) : $0.value }
        self = .versions(values.compactMap { Int64($0) })
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
