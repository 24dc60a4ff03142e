import Core

/// Which codings of a request's body are read: none. A body that says it is compressed is refused and not taken for what it is not
/// (RFC 9110, 8.4).
enum BodyCoding {
    /// Whether the value of `Content-Encoding` says that the body is as it is: `identity`, as often as one likes, or nothing.
    static func isRead(_ value: UnsafeRawBufferPointer) -> Bool {
        var isRead = true
        value.forEachElement(in: 0..<value.count) { element in
            if !UnsafeRawBufferPointer(rebasing: value[element]).isName("identity") { isRead = false }
        }
        return isRead
    }

    private static let detail = "Send the body as it is, without Content-Encoding."
    static let refusal = Problem(
        .unsupportedMediaType, detail, faults: [.init(pointer: "Content-Encoding", code: .unsupportedMediaType, detail: detail)])

    /// What goes with the refusal, so that a client can try again (RFC 9110, 15.5.16).
    static let refusalLine: StaticString = "Accept-Encoding: identity\r\n"
}
