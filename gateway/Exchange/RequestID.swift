/// A request's id: the one that the client gave, which stands in its head, or one made here.
enum RequestID {
    case given(Slice)
    case made(UInt64, UInt64)
}

extension Exchange {
    /// The bytes of the id.
    func withRequestID<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch requestID {
        case .given(let slice): return withHeadBytes { body($0[slice]) }
        case .made(let high, let low):
            return withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { memory in
                var writer = HeadWriter(memory)
                writer.put(hex: high)
                writer.put(hex: low)
                return body(writer.written(since: 0))
            }
        }
    }

    var requestIDText: String { withRequestID { String(decoding: $0, as: UTF8.self) } }
}
