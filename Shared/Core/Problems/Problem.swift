/// What went wrong, as the caller is told it (RFC 9457) and as the log needs it. Rendered in one place, at the edge of a service.
public struct Problem: Error, Sendable {
    /// One fault of the input, with its place.
    public struct Fault: Sendable, Equatable {
        /// A JSON Pointer (RFC 6901) into the body, such as `/address/city`; for a query parameter `?limit`, for a header its name.
        public var pointer: String
        public var code: FaultCode
        public var detail: String

        public init(pointer: String, code: FaultCode, detail: String) {
            self.pointer = pointer
            self.code = code
            self.detail = detail
        }
    }

    /// One answer reports that many faults at most, so that neither its length nor the search for what was meant grows with
    /// what was sent.
    public static let maximumFaults = 50

    /// A limit of a service's own with nothing left: at most `count` in `period` seconds.
    public struct ReachedLimit: Sendable, Equatable {
        public var name: String
        public var count: Int
        public var period: Int

        public init(name: String, count: Int, period: Int) {
            self.name = name
            self.count = count
            self.period = period
        }
    }

    public var code: ErrorCode
    /// Public: what happened to this request and what helps.
    public var detail: String
    public var faults: [Fault]
    /// Further public members, such as `current_version` or `id`.
    public var members: [(name: String, value: JSON)]
    /// Seconds after which a repeat may succeed, for the `Retry-After` header.
    public var retryAfter: Int?
    /// The limit that refused the request, for the `RateLimit` header.
    public var limit: ReachedLimit?
    /// How many operations the request held, each of which counts against the limits.
    public var operations = 1
    /// For the log only: what the public text must not say.
    public var context: String?
    /// For the log only.
    public var underlying: (any Error)?

    public init(
        _ code: ErrorCode, _ detail: String, faults: [Fault] = [], members: [(name: String, value: JSON)] = [],
        retryAfter: Int? = nil, context: String? = nil, underlying: (any Error)? = nil
    ) {
        self.code = code
        self.detail = detail
        self.faults = faults
        self.members = members
        self.retryAfter = retryAfter
        self.context = context
        self.underlying = underlying
    }

    /// The answer for an id of another tenant and for an id that never was: the same, byte for byte.
    public static let notFound = Problem(.notFound, "No such resource.")

    /// What a request is about came, went or was changed while it was tried; tried again it may well succeed.
    public static let raced = Problem(
        .upstreamUnavailable, "Another request changed the same records at the same moment. Try again.", retryAfter: 1)

    public static func forbidden(_ permission: Permission) -> Problem {
        Problem(.forbidden, "This needs the permission \(permission).")
    }

    public static func invalid(_ faults: [Fault]) -> Problem {
        Problem(.validationFailed, "The input has \(faults.count) \(faults.count == 1 ? "fault" : "faults").", faults: faults)
    }

    /// A row of the caller's own tenant is in the way. Its id is named, and whether it is a deleted one that can be restored.
    ///
    /// For rows of the caller's tenant only. What is unique across tenants (a slug, the e-mail address of an account) must not tell
    /// anything of the row that has it.
    public static func alreadyExists(
        _ detail: String, id: some CustomStringConvertible, isRestorable: Bool, faults: [Fault] = []
    ) -> Problem {
        Problem(
            .alreadyExists, detail, faults: faults, members: [("id", .string(id.description)), ("restorable", .bool(isRestorable))])
    }

    /// The same for the value of one member, whose row is named to those who may read it.
    public static func alreadyExists(_ detail: String, at pointer: String, id: (some CustomStringConvertible)?) -> Problem {
        let faults = [Fault(pointer: pointer, code: .alreadyExists, detail: detail)]
        guard let id else { return Problem(.alreadyExists, detail, faults: faults) }
        return alreadyExists(detail, id: id, isRestorable: false, faults: faults)
    }

    public static func invalidParameter(_ name: String, _ detail: String) -> Problem {
        Problem(.invalidParameter, detail, faults: [Fault(pointer: "?\(name)", code: .invalidParameter, detail: detail)])
    }

    /// A fault of ours: the caller learns nothing but the request id.
    public static func `internal`(_ context: String, underlying: (any Error)? = nil) -> Problem {
        Problem(.internal, "The fault is ours and has been logged.", context: context, underlying: underlying)
    }

    public static let jsonType = "application/problem+json"

    /// The body, of the type ``jsonType``.
    ///
    /// - Parameter status: that of the answer, where it is not the code's.
    public func body(requestID: String, status: Int? = nil) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { object in
            object.member("type", "urn:martlet:problem:\(code.rawValue)")
            object.member("title", code.title)
            object.member("status", status ?? code.status)
            object.member("code", code.rawValue)
            object.member("detail", detail)
            object.member("request_id", requestID)
            if !faults.isEmpty {
                object.member("errors", JSON.array(faults.map(\.json)))
            }
            for member in members { object.member(member.name, member.value) }
        }
        return writer.bytes
    }
}

extension Problem.Fault {
    var json: JSON { ["pointer": .string(pointer), "code": .string(code.rawValue), "detail": .string(detail)] }
}

/// The text inside is safe for a log at any level; ``Problem/context`` and ``Problem/underlying`` are not in it.
extension Problem: CustomStringConvertible {
    public var description: String { "\(code.rawValue): \(detail)" }
}
