import CNGHTTP2

/// The fields of an answer as libnghttp2 takes them.
enum HTTP2AnswerFields {
    private static let noIndex = UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue)

    /// Calls the closure with the fields. libnghttp2 copies them, and makes their names lower case.
    ///
    /// - Parameter lines: As of ``ExchangeTransport/answer(_:lines:body:isLast:)``.
    static func with(
        status: Int, contentLength: Int?, lines: UnsafeRawBufferPointer, _ body: (UnsafeMutablePointer<nghttp2_nv>, Int) -> Void
    ) {
        let capacity = HeadLimits.fields + 40
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digits in
            withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: capacity) { fields in
                guard let start = fields.baseAddress else { return }
                var count = 0
                func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, flags: UInt8 = 0) {
                    precondition(count < capacity, "an answer has more fields than a head may have")
                    // Neither is written to: without flags for it, both are copied.
                    let field = nghttp2_nv(
                        name: UnsafeMutablePointer(mutating: name.baseAddress?.assumingMemoryBound(to: UInt8.self)),
                        value: UnsafeMutablePointer(mutating: value.baseAddress?.assumingMemoryBound(to: UInt8.self)),
                        namelen: name.count, valuelen: value.count, flags: flags)
                    (start + count).initialize(to: field)
                    count += 1
                }
                var writer = HeadWriter(digits)
                writer.put(decimal: status)
                add(bytes(":status"), writer.written(since: 0))
                let lengthStart = writer.position
                if let contentLength {
                    writer.put(decimal: contentLength)
                    add(bytes("content-length"), writer.written(since: lengthStart))
                }
                var position = 0
                while position < lines.count, let lineFeed = lines.lineFeed(from: position) {
                    let end = lineFeed > position && lines[lineFeed - 1] == 0x0D ? lineFeed - 1 : lineFeed
                    if let colon = lines.firstIndex(of: UInt8(ascii: ":"), from: position, to: end) {
                        let name = UnsafeRawBufferPointer(rebasing: lines[position..<colon])
                        let value = UnsafeRawBufferPointer(rebasing: lines[lines.trimmed(colon + 1..<end)])
                        add(name, value, flags: isOfOneAnswer(name) ? noIndex : 0)
                    }
                    position = lineFeed + 1
                }
                body(start, count)
            }
        }
    }

    private static func bytes(_ text: StaticString) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    /// Whether the field's value is another one each time, so that remembering it would only displace what comes again.
    private static func isOfOneAnswer(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 9: name.isName("ratelimit")
        case 11: name.isName("traceparent")
        case 12: name.isName("x-request-id")
        default: false
        }
    }
}
