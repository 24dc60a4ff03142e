/// Every code that an answer of Martlet can carry. Stable: a code is never renamed and never used again for another meaning.
public enum ErrorCode: String, Sendable, CaseIterable {
    case invalidJSON = "invalid_json"
    case invalidParameter = "invalid_parameter"
    case unknownParameter = "unknown_parameter"
    case unknownMember = "unknown_member"
    case invalidCursor = "invalid_cursor"
    case invalidRequest = "invalid_request"
    case unauthenticated
    case tokenExpired = "token_expired"
    case tokenStale = "token_stale"
    case mfaRequired = "mfa_required"
    case forbidden
    case tenantMismatch = "tenant_mismatch"
    case tenantSuspended = "tenant_suspended"
    case planLimitReached = "plan_limit_reached"
    case entitlementRequired = "entitlement_required"
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    case notAcceptable = "not_acceptable"
    case requestTimeout = "request_timeout"
    case conflict
    case alreadyExists = "already_exists"
    case duplicate
    case merged
    case idempotencyInProgress = "idempotency_in_progress"
    case versionMismatch = "version_mismatch"
    case bodyTooLarge = "body_too_large"
    case uriTooLong = "uri_too_long"
    case unsupportedMediaType = "unsupported_media_type"
    case validationFailed = "validation_failed"
    case referenceNotFound = "reference_not_found"
    case idempotencyKeyReused = "idempotency_key_reused"
    case rateLimited = "rate_limited"
    case headersTooLarge = "headers_too_large"
    case `internal`
    case upstreamUnavailable = "upstream_unavailable"
    case overloaded
    case clockSkew = "clock_skew"
    case deadlineExceeded = "deadline_exceeded"

    /// The HTTP status that goes with the code.
    public var status: Int {
        switch self {
        case .invalidJSON, .invalidParameter, .unknownParameter, .unknownMember, .invalidCursor, .invalidRequest: 400
        case .unauthenticated, .tokenExpired, .tokenStale, .mfaRequired: 401
        case .forbidden, .tenantMismatch, .tenantSuspended, .planLimitReached, .entitlementRequired: 403
        case .notFound: 404
        case .methodNotAllowed: 405
        case .notAcceptable: 406
        case .requestTimeout: 408
        case .conflict, .alreadyExists, .duplicate, .merged, .idempotencyInProgress: 409
        case .versionMismatch: 412
        case .bodyTooLarge: 413
        case .uriTooLong: 414
        case .unsupportedMediaType: 415
        case .validationFailed, .referenceNotFound, .idempotencyKeyReused: 422
        case .rateLimited: 429
        case .headersTooLarge: 431
        case .internal: 500
        case .upstreamUnavailable, .overloaded, .clockSkew: 503
        case .deadlineExceeded: 504
        }
    }

    /// The `title` member of RFC 9457: the same for every occurrence of the code.
    public var title: String {
        switch self {
        case .invalidJSON: "The body is not valid JSON"
        case .invalidParameter: "A parameter has an invalid value"
        case .unknownParameter: "A parameter is not known"
        case .unknownMember: "A member of the body is not known"
        case .invalidCursor: "The cursor does not fit this list"
        case .invalidRequest: "The request is not valid HTTP"
        case .unauthenticated: "Sign-in is required"
        case .tokenExpired: "The access token has expired"
        case .tokenStale: "The access token is no longer current"
        case .mfaRequired: "A second factor is required"
        case .forbidden: "Not allowed"
        case .tenantMismatch: "The request names another tenant"
        case .tenantSuspended: "The tenant is suspended"
        case .planLimitReached: "The plan's limit is reached"
        case .entitlementRequired: "The plan does not include this"
        case .notFound: "Not found"
        case .methodNotAllowed: "Method not allowed"
        case .notAcceptable: "There is no answer of an accepted media type"
        case .requestTimeout: "The body came too slowly"
        case .conflict: "The request conflicts with the present state"
        case .alreadyExists: "It exists already"
        case .duplicate: "There may be a record of it already"
        case .merged: "The record was merged into another one"
        case .idempotencyInProgress: "A request with this idempotency key is still running"
        case .versionMismatch: "The record has changed since it was read"
        case .bodyTooLarge: "The body is too large"
        case .uriTooLong: "The request target is too long"
        case .unsupportedMediaType: "The media type is not supported"
        case .validationFailed: "The input is not valid"
        case .referenceNotFound: "A referenced record was not found"
        case .idempotencyKeyReused: "The idempotency key was used for another request"
        case .rateLimited: "Too many requests"
        case .headersTooLarge: "The header fields are too large"
        case .internal: "Something went wrong"
        case .upstreamUnavailable: "The service is not available"
        case .overloaded: "Too much work at the moment"
        case .clockSkew: "The clocks of the platform differ"
        case .deadlineExceeded: "The request took too long"
        }
    }
}
