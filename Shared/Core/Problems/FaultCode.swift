/// What is wrong with one place of the input: `code` of an entry of ``Problem``'s `errors`. Stable as ``ErrorCode`` is; the detail beside it
/// says it to people.
public enum FaultCode: String, Sendable, CaseIterable {
    // Members and their presence.
    case unknownMember = "unknown_member"
    case duplicateMember = "duplicate_member"
    case readOnly = "read_only"
    /// It must be given, and a text must show something.
    case required
    /// It may be left out but not cleared.
    case notNullable = "not_nullable"

    // Values.
    /// Another kind of JSON value is expected.
    case invalidType = "invalid_type"
    case invalidFormat = "invalid_format"
    /// A text with a character that no text may have.
    case invalidText = "invalid_text"
    case tooShort = "too_short"
    case tooLong = "too_long"
    case tooMany = "too_many"
    case outOfRange = "out_of_range"
    /// It is none of the values that can be given here, or cannot be given together with another member.
    case notAllowed = "not_allowed"

    // What is there already.
    case referenceNotFound = "reference_not_found"
    /// A record would be above itself in a tree.
    case cycle
    /// A tree would have too many levels.
    case tooDeep = "too_deep"
    case notUnique = "not_unique"
    case alreadyExists = "already_exists"
    /// A name that nobody can take.
    case reserved

    // Passwords and tokens.
    case invalidToken = "invalid_token"
    case wrongPassword = "wrong_password"
    case samePassword = "same_password"
    case tooCommon = "too_common"

    // The request around the body.
    case invalidJSON = "invalid_json"
    case invalidParameter = "invalid_parameter"
    case unknownParameter = "unknown_parameter"
    case invalidCursor = "invalid_cursor"
    case unsupportedMediaType = "unsupported_media_type"
}

/// Why a value does not fit, before it is known where it stands.
public struct ValueFault: Error, Sendable, Equatable {
    public var code: FaultCode
    public var detail: String

    public init(_ code: FaultCode, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    /// - Parameter expected: with its article, such as `a string`.
    public static func type(_ expected: String, _ found: JSON) -> ValueFault {
        ValueFault(.invalidType, "Expected \(expected), found \(found.kindName).")
    }

    /// - Parameter expected: with its article and an example.
    public static func format(_ expected: String) -> ValueFault { ValueFault(.invalidFormat, "Expected \(expected).") }
}
