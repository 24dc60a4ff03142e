/// A pattern of digits, as the metadata of numbering plans has them: the part of regular expressions that is used there, which is classes of
/// digits, groups, alternatives, and how often a part may come at most. The first way of matching counts, as in those.
struct DigitPattern: Sendable {
    private indirect enum Part: Sendable {
        /// A bit for each digit.
        case digit(UInt16)
        case sequence([Part])
        case choice([Part])
        case repeated(Part, ClosedRange<Int>)
        case captured(Part, Int)
        case end
    }

    /// What a pattern has matched at the beginning of a number.
    struct Match: Sendable {
        var end = 0
        /// What the groups have matched; `nil` for one that was not come by.
        var groups: [Range<Int>?]
    }

    private let root: Part
    private let groupCount: Int

    /// - Precondition: the text is such a pattern.
    init(_ text: some StringProtocol) {
        var reader = Reader(rest: Array(text.utf8)[...])
        root = reader.choice()
        groupCount = reader.groupCount
        precondition(reader.rest.isEmpty, "\(text) is no pattern of digits")
    }

    /// - Parameter digits: each 0 to 9.
    func prefix(of digits: [UInt8]) -> Match? {
        var match = Match(groups: Array(repeating: nil, count: groupCount))
        let isFound = Self.run(root, at: 0, of: digits, &match) { end, match in
            match.end = end
            return true
        }
        return isFound ? match : nil
    }

    func matches(_ digits: [UInt8]) -> Bool {
        var match = Match(groups: Array(repeating: nil, count: groupCount))
        return Self.run(root, at: 0, of: digits, &match) { end, _ in end == digits.count }
    }

    private typealias Next = (Int, inout Match) -> Bool

    /// Calls `next` with the end of each way of matching until it says that all is well.
    private static func run(_ part: Part, at place: Int, of digits: [UInt8], _ match: inout Match, _ next: Next) -> Bool {
        switch part {
        case .digit(let mask): place < digits.count && mask >> digits[place] & 1 == 1 && next(place + 1, &match)
        case .sequence(let parts): run(parts[...], at: place, of: digits, &match, next)
        case .choice(let parts): parts.contains { run($0, at: place, of: digits, &match, next) }
        case .repeated(let part, let range): run(part, range, at: place, of: digits, &match, next)
        case .captured(let part, let group): captured(part, group, at: place, of: digits, &match, next)
        case .end: place == digits.count && next(place, &match)
        }
    }

    private static func run(_ parts: ArraySlice<Part>, at place: Int, of digits: [UInt8], _ match: inout Match, _ next: Next) -> Bool {
        guard let first = parts.first else { return next(place, &match) }
        return run(first, at: place, of: digits, &match) { end, match in run(parts.dropFirst(), at: end, of: digits, &match, next) }
    }

    /// As often as it can be first.
    private static func run(
        _ part: Part, _ range: ClosedRange<Int>, at place: Int, of digits: [UInt8], _ match: inout Match, _ next: Next
    ) -> Bool {
        if range.upperBound > 0 {
            let rest = max(0, range.lowerBound - 1)...(range.upperBound - 1)
            let isFound = run(part, at: place, of: digits, &match) { end, match in run(part, rest, at: end, of: digits, &match, next) }
            if isFound { return true }
        }
        return range.lowerBound == 0 && next(place, &match)
    }

    private static func captured(
        _ part: Part, _ group: Int, at place: Int, of digits: [UInt8], _ match: inout Match, _ next: Next
    ) -> Bool {
        let before = match.groups[group]
        let isFound = run(part, at: place, of: digits, &match) { end, match in
            match.groups[group] = place..<end
            return next(end, &match)
        }
        if !isFound { match.groups[group] = before }
        return isFound
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>
        var groupCount = 0

        mutating func choice() -> Part {
            var parts = [sequence()]
            while take("|") { parts.append(sequence()) }
            return parts.count == 1 ? parts[0] : .choice(parts)
        }

        private mutating func sequence() -> Part {
            var parts: [Part] = []
            while let part = one() { parts.append(times(part)) }
            return parts.count == 1 ? parts[0] : .sequence(parts)
        }

        /// `nil` where the sequence ends.
        private mutating func one() -> Part? {
            if take("$") { return .end }
            if take("[") { return .digit(members()) }
            if take("\\d") { return .digit(Self.anyDigit) }
            if take("(?:") { return closed(choice()) }
            if take("(") {
                let group = groupCount
                groupCount += 1
                return closed(.captured(choice(), group))
            }
            return digit().map { .digit(1 << $0) }
        }

        private mutating func times(_ part: Part) -> Part {
            if take("?") { return .repeated(part, 0...1) }
            guard take("{") else { return part }
            let least = number()
            let most = take(",") ? number() : least
            _ = take("}")
            return .repeated(part, least...most)
        }

        /// What stands between brackets.
        private mutating func members() -> UInt16 {
            var mask: UInt16 = 0
            while !take("]") {
                if take("\\d") {
                    mask |= Self.anyDigit
                    continue
                }
                guard let first = digit() else { return mask }
                let last = take("-") ? digit() ?? first : first
                for digit in first...last { mask |= 1 << digit }
            }
            return mask
        }

        private static let anyDigit: UInt16 = 0x3FF

        private mutating func closed(_ part: Part) -> Part {
            _ = take(")")
            return part
        }

        private mutating func number() -> Int {
            var number = 0
            while let digit = digit() { number = 10 * number + Int(digit) }
            return number
        }

        private mutating func digit() -> UInt8? {
            guard let byte = rest.first, (0x30...0x39).contains(byte) else { return nil }
            rest.removeFirst()
            return byte - 0x30
        }

        private mutating func take(_ text: StaticString) -> Bool {
            let wanted = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
            guard rest.starts(with: wanted) else { return false }
            rest.removeFirst(wanted.count)
            return true
        }
    }
}
