import Core

/// Which request targets are accepted. A path has exactly one spelling that is accepted, so that no two parties on the way can
/// see different resources in it: no empty or dot segment, no encoded slash, no parameter after a semicolon.
///
/// But for another system's id, which may hold any character: the segment after ``keyed`` is taken for one text by everybody on the
/// way, and decoded once, by the service that compares it.
enum TargetRules {
    private static let keyed = Array("by-external-id".utf8)

    static func isPath(_ path: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        var segmentStart = 1
        var isKey = false
        while index < path.count {
            let byte = path[index]
            switch byte {
            case UInt8(ascii: "/"):
                if index > 0, !isSegment(path, segmentStart..<index) { return false }
                if index > 0 { isKey = UnsafeRawBufferPointer(rebasing: path[segmentStart..<index]).equals(keyed) }
                segmentStart = index + 1
            case UInt8(ascii: "%"):
                guard index + 2 < path.count, let high = Hex.value(of: path[index + 1]), let low = Hex.value(of: path[index + 2]) else {
                    return false
                }
                switch high << 4 | low {
                case UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: ";"), UInt8(ascii: "%"):
                    if !isKey { return false }
                    index += 2
                case 0..<0x20, 0x7F, UInt8(ascii: "."): return false
                default: index += 2
                }
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "!"), UInt8(ascii: "$"),
                UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "*"), UInt8(ascii: "+"),
                UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: ":"), UInt8(ascii: "@"):
                break
            default: return false
            }
            index += 1
        }
        // The root alone has an empty segment; a slash at the end of anything else is another spelling of it.
        return path.count == 1 || isSegment(path, segmentStart..<path.count)
    }

    private static func isSegment(_ path: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        switch range.count {
        case 0: false
        case 1: path[range.lowerBound] != UInt8(ascii: ".")
        case 2: path[range.lowerBound] != UInt8(ascii: ".") || path[range.lowerBound + 1] != UInt8(ascii: ".")
        default: true
        }
    }

    /// Visible ASCII without `#`; what it means is the service's to check.
    static func isQuery(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        for index in range {
            let byte = bytes[index]
            if byte <= 0x20 || byte >= 0x7F || byte == UInt8(ascii: "#") { return false }
        }
        return true
    }

    static func isHost(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        if range.isEmpty || range.count > 255 { return false }
        for index in range {
            switch bytes[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"):
                break
            default: return false
            }
        }
        return true
    }
}
