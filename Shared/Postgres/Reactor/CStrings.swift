import Glibc

/// A list of strings as C wants it: pointers to NUL-terminated texts, with a null pointer at the end.
final class CStrings {
    private let strings: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>

    init(_ texts: [String]) {
        strings = .allocate(capacity: texts.count + 1)
        strings.initialize(repeating: nil)
        for (index, text) in texts.enumerated() { strings[index] = UnsafePointer(strdup(text)) }
    }

    deinit {
        for string in strings { free(UnsafeMutablePointer(mutating: string)) }
        strings.deallocate()
    }

    // The buffer is never empty.
    var pointers: UnsafePointer<UnsafePointer<CChar>?> { UnsafePointer(strings.baseAddress!) }
}
