import Core

/// Why a request's head is refused. Every one ends the connection: what follows cannot be told apart with certainty.
enum HeadFault: Error, Equatable {
    case targetTooLong
    case headersTooLarge
    /// Syntax, or a construct that parties on the way may read differently; the text is for the client.
    case malformed(StaticString)

    static func == (left: HeadFault, right: HeadFault) -> Bool {
        switch (left, right) {
        case (.targetTooLong, .targetTooLong), (.headersTooLarge, .headersTooLarge): true
        case (.malformed(let left), .malformed(let right)): "\(left)" == "\(right)"
        default: false
        }
    }

    var problem: Problem {
        switch self {
        case .targetTooLong: Problem(.uriTooLong, "The request target is longer than 8 KiB.")
        case .headersTooLarge: Problem(.headersTooLarge, "The header fields exceed 32 KiB or 100 fields.")
        case .malformed(let detail): Problem(.invalidRequest, "\(detail)")
        }
    }
}

/// What a head may be at most. Fixed: nothing that Martlet serves needs more.
enum HeadLimits {
    static let targetBytes = 8 * 1024
    static let headBytes = 32 * 1024
    static let fields = 100
}
