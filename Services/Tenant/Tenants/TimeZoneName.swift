import Foundation

/// Names of the IANA time zone database.
enum TimeZoneName {
    static func isValid(_ name: String) -> Bool {
        // Offsets such as GMT+2 and paths are understood by Foundation too, but are no names of zones.
        TimeZone(identifier: name) != nil && (name == "UTC" || name.contains("/"))
            && name.utf8.allSatisfy { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: ":") }
    }
}
