/// Why a stream or a connection ends (RFC 9113, section 7).
enum HTTP2ErrorCode: UInt32 {
    case noError, protocolError, internalError, flowControlError, settingsTimeout, streamClosed, frameSizeError, refusedStream, cancel,
        compressionError, connectError, enhanceYourCalm, inadequateSecurity, http11Required

    /// A code that nobody knows means what "internal error" means (RFC 9113, section 7).
    init(code: UInt32) { self = Self(rawValue: code) ?? .internalError }
}

/// Why a connection is ended for what its client did.
enum HTTP2Fault: Equatable {
    /// What was sent is not HTTP/2.
    case violation(HTTP2ErrorCode)
    /// Each frame was right, and all of them together were more than any client has use for.
    case excess(HTTP2Excess)

    var code: HTTP2ErrorCode {
        switch self {
        case .violation(let code): code
        case .excess: .enhanceYourCalm
        }
    }

    /// The value of a metric's label; there are few of them.
    var label: String {
        switch self {
        case .violation: Self.violationLabel
        case .excess(let excess): excess.rawValue
        }
    }

    private static let violationLabel = "violation"

    static let labels = [violationLabel] + HTTP2Excess.allCases.map(\.rawValue)
}
