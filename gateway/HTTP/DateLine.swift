import Core

/// The present time as HTTP writes it (RFC 9110, 5.6.7), made once a second.
struct DateLine {
    private var second: Int64 = -1
    private var bytes: [UInt8] = []

    mutating func line(at time: Timestamp) -> [UInt8] {
        let now = time.milliseconds / 1000
        if now != second {
            second = now
            bytes = Self.format(now)
        }
        return bytes
    }

    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// - Parameter seconds: Since 1970, which began on a Thursday.
    static func format(_ seconds: Int64) -> [UInt8] {
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let (days, rest) = (seconds / 86_400, seconds % 86_400)
        // From days to a date of the Gregorian calendar: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let calendarMonth = month < 10 ? month + 3 : month - 9
        let year = yearOfEra + era * 400 + (calendarMonth <= 2 ? 1 : 0)
        let date = "\(Self.days[Int(days % 7)]), \(two(day)) \(Self.months[Int(calendarMonth) - 1]) \(year)"
        return Array("\(date) \(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)) GMT".utf8)
    }
}
