/// A reply of Redis (RESP2).
public enum RedisValue: Sendable, Hashable {
    case null
    /// A simple string, such as `OK`.
    case status(String)
    /// A bulk string.
    case bytes([UInt8])
    case integer(Int64)
    case array([RedisValue])
    /// An error inside an array; an error as the whole reply is thrown as ``RedisError/server(_:)``.
    case error(String)

    /// The text of a simple or bulk string; invalid UTF-8 is repaired.
    public var string: String? {
        switch self {
        case .status(let text): text
        case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
        default: nil
        }
    }

    /// The number, also of a string that spells one.
    public var integer: Int64? {
        if case .integer(let value) = self { value } else { string.flatMap { Int64($0) } }
    }

    public var array: [RedisValue]? { if case .array(let values) = self { values } else { nil } }
}

/// Why a command has no reply.
public enum RedisError: Error, Sendable, Equatable {
    /// Redis refused the command; the text is its own (`WRONGTYPE …`).
    case server(String)
    /// There is no connection at the moment, or the breaker is open after several failures.
    case unavailable
    /// No reply within the time limit. The command may have been carried out.
    case timeout
    /// The connection ended before the reply. The command may have been carried out.
    case connectionLost
    /// Too many commands wait already.
    case overloaded
    /// The client was stopped.
    case stopped
    /// The bytes received are not RESP.
    case malformedReply
}
