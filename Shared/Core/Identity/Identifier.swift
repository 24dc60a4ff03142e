/// A 128-bit identifier of one kind of thing, written as a UUID (RFC 9562).
///
/// `Kind` keeps a ``TenantID`` from being passed where a ``UserID`` is meant; it has no value at run time.
public struct Identifier<Kind>: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A new UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix time in milliseconds, a counter of 12 bits, then 62 random bits.
    ///
    /// Later than every id that this process has made before, of whatever kind: inserts go to the end of an index, and records of one
    /// moment keep the order in which they were made.
    public init() { self.init(tick: IdentifierClock.process.tick(at: .now)) }

    /// An id as it would be made at the instant: before all that are made later, and in no order among those of its millisecond.
    public init(at instant: Timestamp) { self.init(tick: IdentifierClock.firstTick(at: instant)) }

    private init(tick: UInt64) {
        var generator = SystemRandomNumberGenerator()
        high = (tick >> 12) << 16 | 0x7000 | (tick & 0x0FFF)
        low = 0x8000_0000_0000_0000 | (generator.next() >> 2)
    }

    /// Reads the 36-character form, upper or lower case; `nil` for anything else (no braces, no `urn:`).
    public init?(_ text: some StringProtocol) {
        // In place where the bytes lie in a row, as nearly always: bytes taken one by one through the protocol cost 20 times as much.
        guard
            let id = text.utf8.withContiguousStorageIfAvailable({ Self(utf8: $0) })
                ?? Array(text.utf8).withUnsafeBufferPointer({ Self(utf8: $0) })
        else { return nil }
        self = id
    }

    /// Reads the form of ``init(_:)-(StringProtocol)``.
    public init?(utf8: UnsafeBufferPointer<UInt8>) {
        guard utf8.count == 36 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        for position in 0..<36 {
            let byte = utf8[position]
            if position == 8 || position == 13 || position == 18 || position == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let digit = Hex.value(of: byte) else { return nil }
            // The 16th digit stands at place 17: two hyphens come before it.
            if position < 18 { words.0 = words.0 << 4 | UInt64(digit) } else { words.1 = words.1 << 4 | UInt64(digit) }
        }
        (high, low) = words
    }
}

extension Identifier: CustomStringConvertible, Comparable {
    /// The canonical form: 36 characters, lower case.
    public var description: String {
        String(unsafeUninitializedCapacity: 36) { buffer in
            var position = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    buffer[position] = UInt8(ascii: "-")
                    position += 1
                }
                let word = index < 16 ? high : low
                buffer[position] = Hex.digit(UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (index % 16))) & 15)
                position += 1
            }
            return 36
        }
    }

    public static func < (left: Self, right: Self) -> Bool { (left.high, left.low) < (right.high, right.low) }
}

public enum TenantKind {}
public enum UserKind {}
public enum SessionKind {}
public enum RecordKind {}
public enum EventKind {}

/// An organisation that shares the platform; every row of its data carries it.
public typealias TenantID = Identifier<TenantKind>
/// A person, who may be a member of several tenants.
public typealias UserID = Identifier<UserKind>
/// One sign-in, from login to logout or the death of its refresh token family.
public typealias SessionID = Identifier<SessionKind>
extension UserID {
    /// Stands for the user of work in a tenant that no person has asked for; the trail has it as the system's.
    public static var nobody: UserID { UserID(high: 0, low: 0) }
}

/// A record of any resource: a lead, a ticket.
public typealias RecordID = Identifier<RecordKind>
/// One entry of an outbox, and of the event log that it ends in.
public typealias EventID = Identifier<EventKind>
