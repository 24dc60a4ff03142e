import Crypto

/// Makes and reads the opaque cursors of lists. A cursor is bound to its list (tenant, resource, filter, sort) by a MAC, so one that
/// was changed, or taken from another list or tenant, is refused.
public struct CursorSigner: Sendable {
    /// The first seals, all open.
    private let keys: [SymmetricKey]

    /// Uses keys derived from those that the service has with the gateway, so that every process of it reads what another wrote.
    public init(keys: ContextKeys) { self.keys = keys.derivedKeys(for: "cursor") }

    /// The cursor for a position in a list.
    ///
    /// - Parameters:
    ///   - position: the sort values of the last row sent.
    ///   - list: everything that makes the list what it is: tenant, resource, filter, sort.
    public func seal(_ position: JSON, list: [UInt8]) -> String {
        let payload = position.bytes
        return Base64URL.encode(Self.mac(payload, list, keys[0]).prefix(16) + payload)
    }

    /// - Throws: ``Problem`` `invalid_cursor` when the text is no cursor of this list.
    public func open(_ cursor: String, list: [UInt8]) throws(Problem) -> JSON {
        if cursor.utf8.count <= 4096, let bytes = Base64URL.decode(cursor), bytes.count > 16 {
            let payload = Array(bytes[16...])
            for key in keys where Self.isEqual(bytes[..<16], Self.mac(payload, list, key).prefix(16)) {
                return try JSONParser.parse(payload)
            }
        }
        throw Self.refusal
    }

    static var refusal: Problem {
        let detail = "The cursor is not one of this list; take page.next of the page before, with the same filter and sort."
        return Problem(.invalidCursor, detail, faults: [.init(pointer: "?after", code: .invalidCursor, detail: detail)])
    }

    private static func mac(_ payload: [UInt8], _ list: [UInt8], _ key: SymmetricKey) -> [UInt8] {
        var authentication = HMAC<SHA256>(key: key)
        // The length keeps the border between list and position where it is.
        authentication.update(data: Array("\(list.count):".utf8))
        authentication.update(data: list)
        authentication.update(data: payload)
        return Array(authentication.finalize())
    }

    /// Compares without telling by its time where the difference is.
    private static func isEqual(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        left.count == right.count && zip(left, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
