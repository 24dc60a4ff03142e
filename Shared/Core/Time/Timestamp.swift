#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An instant of wall-clock time in whole milliseconds, UTC. Never used to order events: sequences do that.
public struct Timestamp: Hashable, Sendable, Comparable {
    /// Milliseconds since 1970-01-01T00:00:00Z, negative before it.
    public var milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    public static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }

    public func advanced(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        return Timestamp(milliseconds: milliseconds + seconds * 1000 + attoseconds / 1_000_000_000_000_000)
    }

    /// Time from now until this instant; negative when it has passed.
    public var timeLeft: Duration { .milliseconds(milliseconds - Timestamp.now.milliseconds) }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC with milliseconds: `2026-01-31T09:30:00.000Z`. An instant outside the years 1 to 9999 is written as the
    /// nearest one inside.
    public var description: String {
        let milliseconds = min(max(milliseconds, Self.writable.lowerBound), Self.writable.upperBound)
        let (day, rest) = CivilDay.split(milliseconds)
        var text: [UInt8] = []
        text.reserveCapacity(24)
        func append(_ value: Int64, digits: Int) {
            var divisor: Int64 = 1
            for _ in 1..<digits { divisor *= 10 }
            while divisor > 0 {
                text.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
                divisor /= 10
            }
        }
        append(day.year, digits: 4)
        text.append(UInt8(ascii: "-"))
        append(day.month, digits: 2)
        text.append(UInt8(ascii: "-"))
        append(day.day, digits: 2)
        text.append(UInt8(ascii: "T"))
        append(rest / 3_600_000, digits: 2)
        text.append(UInt8(ascii: ":"))
        append(rest / 60_000 % 60, digits: 2)
        text.append(UInt8(ascii: ":"))
        append(rest / 1000 % 60, digits: 2)
        text.append(UInt8(ascii: "."))
        append(rest % 1000, digits: 3)
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads an RFC 3339 date-time with any offset; digits beyond milliseconds are dropped. `nil` for anything else,
    /// for a day that no calendar has, and for a leap second (Postgres has none either).
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20 else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            var value: Int64 = 0
            for byte in bytes[range] {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - UInt8(ascii: "0"))
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19),
            bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            bytes[10] == UInt8(ascii: "T") || bytes[10] == UInt8(ascii: "t"),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
            year >= 1, (1...12).contains(month), hour < 24, minute < 60, second < 60,
            day >= 1, day <= CivilDay.days(inMonth: month, of: year)
        else { return nil }
        var position = 19
        var fraction: Int64 = 0
        if bytes[position] == UInt8(ascii: ".") {
            position += 1
            let start = position
            while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
            guard position > start, position - start <= 9 else { return nil }
            var scale: Int64 = 100
            for byte in bytes[start..<min(position, start + 3)] {
                fraction += Int64(byte - UInt8(ascii: "0")) * scale
                scale /= 10
            }
        }
        guard position < bytes.count else { return nil }
        var offset: Int64 = 0
        switch bytes[position] {
        case UInt8(ascii: "Z"), UInt8(ascii: "z"):
            guard position + 1 == bytes.count else { return nil }
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            guard position + 6 == bytes.count, bytes[position + 3] == UInt8(ascii: ":"),
                let hours = number(position + 1..<position + 3), let minutes = number(position + 4..<position + 6),
                hours < 24, minutes < 60
            else { return nil }
            offset = (hours * 60 + minutes) * (bytes[position] == UInt8(ascii: "-") ? -1 : 1)
        default:
            return nil
        }
        let days = CivilDay(year: year, month: month, day: day).days
        milliseconds = ((days * 24 + hour) * 60 + minute - offset) * 60_000 + second * 1000 + fraction
        // An offset can lead out of the years that four digits can write.
        guard Self.writable.contains(milliseconds) else { return nil }
    }

    /// From 0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
    private static let writable: ClosedRange<Int64> = -62_135_596_800_000...253_402_300_799_999

    /// Whether the text is a calendar date `yyyy-mm-dd` (RFC 3339, full-date).
    public static func isDate(_ text: some StringProtocol) -> Bool {
        text.utf8.count == 10 && Timestamp("\(text)T00:00:00Z") != nil
    }
}
