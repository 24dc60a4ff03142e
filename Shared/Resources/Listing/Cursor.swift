import Core
import Crypto

/// Where a list goes on: behind the row with this value in the sorted column and this id.
struct Cursor: Sendable, Hashable {
    /// In Postgres' text format; `nil` for a row without a value.
    var value: String?
    var id: RecordID
}

/// Makes and reads the opaque text of cursors: base64url of a format byte, the id, the value, and a MAC.
///
/// The MAC (HMAC-SHA256, RFC 2104, cut to 16 bytes) covers also what the cursor belongs to, so that one of another tenant, list,
/// filter, sort or row scope is refused like one that was made up.
public struct CursorSigner: Sendable {
    private let key: SymmetricKey
    private static let macLength = 16
    private static let format: UInt8 = 1

    /// - Parameter key: at least 32 bytes, the same in every process of the service; a change makes the cursors in use invalid.
    public init(key: SymmetricKey) {
        precondition(key.bitCount >= 256, "a cursor key has at least 32 bytes")
        self.key = key
    }

    /// - Parameter binding: what the cursor belongs to, in a form that differs for different lists.
    func sign(_ cursor: Cursor, binding: [UInt8]) -> String {
        var payload = [Self.format]
        payload.append(contentsOf: cursor.id.bytes)
        if let value = cursor.value { payload.append(contentsOf: [1] + Array(value.utf8)) }
        return Base64URL.encode(payload + mac(of: payload, binding: binding).prefix(Self.macLength))
    }

    /// - Throws: ``Problem`` `invalid_cursor`.
    func verify(_ text: String, binding: [UInt8]) throws(Problem) -> Cursor {
        let refusal = Problem(
            .invalidCursor, "The cursor does not belong to this list. Start again without 'after'.",
            faults: [.init(pointer: "?after", code: "invalid_cursor", detail: "Not a cursor of this list.")])
        guard text.utf8.count <= 8192, let bytes = Base64URL.decode(text), bytes.count >= 17 + Self.macLength else { throw refusal }
        let payload = Array(bytes.dropLast(Self.macLength))
        let expected = mac(of: payload, binding: binding).prefix(Self.macLength)
        // Constant time: every byte is compared.
        guard zip(expected, bytes.suffix(Self.macLength)).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0, payload[0] == Self.format else {
            throw refusal
        }
        let value = payload.count == 17 ? nil : String(decoding: payload[18...], as: UTF8.self)
        return Cursor(value: value, id: RecordID(bytes: payload[1..<17]))
    }

    private func mac(of payload: [UInt8], binding: [UInt8]) -> [UInt8] {
        var authentication = HMAC<SHA256>(key: key)
        authentication.update(data: Array("\(binding.count):".utf8))
        authentication.update(data: binding)
        authentication.update(data: payload)
        return Array(authentication.finalize())
    }
}

extension Identifier {
    /// The 16 bytes, most significant first.
    fileprivate var bytes: [UInt8] {
        [high, low].flatMap { word in stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) } }
    }

    /// - Precondition: there are 16 bytes.
    fileprivate init(bytes: ArraySlice<UInt8>) {
        precondition(bytes.count == 16)
        let high = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let low = bytes.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        self.init(high: high, low: low)
    }
}
