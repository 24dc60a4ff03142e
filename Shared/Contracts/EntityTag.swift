import Core

/// The version of a record in `ETag`, `If-Match` and `If-None-Match` (RFC 9110): `"7"`.
public enum EntityTag {
    /// A record's version as a header's value.
    public static func of(_ version: Int64) -> String { "\"\(version)\"" }

    /// The version that the caller expects, or `nil` when any will do (`If-Match` absent or `*`).
    ///
    /// - Throws: ``Problem`` `invalid_parameter` when the header is not one strong tag of ours.
    public static func expected(by call: Call) throws(Problem) -> Int64? {
        guard let value = call.header("if-match"), value != "*" else { return nil }
        guard let version = version(of: value) else {
            throw Problem(
                .invalidParameter, "If-Match takes one entity tag, such as \"7\".",
                faults: [.init(pointer: "If-Match", code: "invalid_format", detail: "Expected one entity tag, such as \"7\".")])
        }
        return version
    }

    /// 200 with the record and its tag, or 304 when `If-None-Match` names this version.
    public static func reply(to call: Call, _ json: JSON, version: Int64, status: Int = 200) -> Reply {
        let tag = of(version)
        if call.method == .get, let value = call.header("if-none-match") {
            let known = value.split(separator: ",").map { $0.drop { $0 == " " } }
            if value == "*" || known.contains(where: { $0 == tag || $0 == "W/\(tag)" }) {
                return Reply(status: 304, headers: [("etag", tag)])
            }
        }
        return .json(json, status: status, headers: [("etag", tag)])
    }

    /// The problem for a caller whose version is not the present one.
    public static func mismatch(current: Int64) -> Problem {
        Problem(
            .versionMismatch, "The record has version \(current) now.", members: [("current_version", .number(current))])
    }

    private static func version(of tag: String) -> Int64? {
        guard tag.utf8.count > 2, tag.first == "\"", tag.last == "\"" else { return nil }
        return Int64(tag.dropFirst().dropLast())
    }
}
