import CNGHTTP2

/// Reads a header block that the gateway has sent.
enum HeaderBlock {
    struct Malformed: Error {}

    /// Each field as `name: value`, of a block that refers to none before it.
    static func fields(of block: [UInt8]) throws -> [String] {
        var made: OpaquePointer?
        guard nghttp2_hd_inflate_new(&made) == 0, let inflater = made else { throw Malformed() }
        defer { nghttp2_hd_inflate_del(inflater) }
        var fields: [String] = []
        try block.withUnsafeBufferPointer { block in
            var position = 0
            while true {
                var field = nghttp2_nv()
                var flags: Int32 = 0
                let base = block.baseAddress.map { $0 + position }
                let read = nghttp2_hd_inflate_hd2(inflater, &field, &flags, base, block.count - position, 1)
                guard read >= 0 else { throw Malformed() }
                position += read
                if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name = UnsafeRawBufferPointer(start: field.name, count: field.namelen)
                    let value = UnsafeRawBufferPointer(start: field.value, count: field.valuelen)
                    fields.append(String(decoding: name, as: UTF8.self) + ": " + String(decoding: value, as: UTF8.self))
                }
                if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { return }
            }
        }
        return fields
    }
}
