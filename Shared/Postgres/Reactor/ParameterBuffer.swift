import Glibc

/// Lays out a statement's values as the C strings that libpq takes, in storage that is used again for the next statement.
final class ParameterBuffer {
    private var bytes: UnsafeMutableBufferPointer<CChar>
    private var pointers: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>

    init() {
        bytes = .allocate(capacity: 4096)
        pointers = .allocate(capacity: 64)
    }

    deinit {
        bytes.deallocate()
        pointers.deallocate()
    }

    /// The pointers are valid until the next call.
    func layOut(_ values: [SQLValue]) -> UnsafePointer<UnsafePointer<CChar>?>? {
        var size = 0
        for case .text(let text) in values { size += text.utf8.count + 1 }
        reserve(size, values.count)
        var position = 0
        for (index, value) in values.enumerated() {
            guard case .text(var text) = value else {
                pointers[index] = nil
                continue
            }
            // The storage was allocated before and is never empty.
            let start = bytes.baseAddress! + position
            text.withUTF8 { utf8 in
                if let source = utf8.baseAddress { memcpy(start, source, utf8.count) }
                position += utf8.count
            }
            bytes[position] = 0
            position += 1
            pointers[index] = UnsafePointer(start)
        }
        return UnsafePointer(pointers.baseAddress)
    }

    private func reserve(_ size: Int, _ count: Int) {
        // One large import must not keep its memory for ever.
        let isOversized = bytes.count > 1 << 20 && size < 1 << 16
        if size > bytes.count || isOversized {
            bytes.deallocate()
            bytes = .allocate(capacity: max(4096, size))
        }
        if count > pointers.count {
            pointers.deallocate()
            pointers = .allocate(capacity: count)
        }
    }
}
