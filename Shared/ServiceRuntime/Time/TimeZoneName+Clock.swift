import Core
import Foundation

extension TimeZoneName {
    /// Whether there is a zone of that name.
    public static func isValid(_ name: String) -> Bool { zone(name) != nil }

    /// The clocks of the zone; `nil` when there is none of that name.
    public static func clock(_ name: String) -> WallClock? {
        if name == initial { return .utc }
        guard let zone = zone(name) else { return nil }
        return WallClock { instant in
            Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant.milliseconds) / 1000))) * 1000
        }
    }

    /// Offsets such as GMT+2 and paths are understood by Foundation too, but are no names of zones.
    private static func zone(_ name: String) -> TimeZone? { form(name).flatMap { TimeZone(identifier: $0) } }
}

extension RequestContext {
    /// The clocks of the tenant.
    public var clock: WallClock { TimeZoneName.clock(timeZone) ?? .utc }
}
